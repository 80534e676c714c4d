import { account, type CounterRow, NETWORK_ROW, PORT_ROW, ROWS, readRow, UNDERLAY_ROW } from '../packet/counters.js';
import { DROP_REASONS, type DropName } from '../packet/drop.js';
import type { Plan } from '../pipeline/plan.js';
import type { CaptureInput } from '../port/captureInput.js';
import type { CaptureDevice } from './captureDevices.js';
import type { FlowCount } from './flows.js';
import type { DeviceReport, InputReport, OutputReport, ReplayReport } from './options.js';

export interface SummaryParts {
  counters: Float64Array;
  plan: Plan;
  devices: readonly CaptureDevice[];
  inputs: readonly { device: CaptureDevice; input: CaptureInput }[];
  flows: FlowCount;
  captureSeconds: number;
  seconds: number;
  stopped: boolean;
}

type Drops = Partial<Record<DropName, number>>;

/** Rows of networks repeat those of ports, peers and underlays. */
function dropsOf(counters: Float64Array): Drops {
  const sums: Drops = {};
  for (let row = 0; row < ROWS; row++) {
    if (row >= NETWORK_ROW && row < UNDERLAY_ROW) continue;
    for (const [name, n] of Object.entries(readRow([counters], row).drops))
      sums[name as DropName] = (sums[name as DropName] ?? 0) + n;
  }
  // In the order of the list, whichever device had them first.
  return Object.fromEntries(DROP_REASONS.flatMap(({ name }) => (sums[name] === undefined ? [] : [[name, sums[name]]])));
}

function deviceReport(name: string, row: CounterRow): DeviceReport {
  const { rxPackets, rxBytes, txPackets, txBytes, drops } = row;
  return { name, rxPackets, rxBytes, txPackets, txBytes, dropped: drops as Drops };
}

function inputReport({ device, input }: SummaryParts['inputs'][number]): InputReport {
  const { path, format, packets, bytesRead, cut, isCutOff, error } = input;
  return {
    file: path,
    device: device.name,
    format,
    packets,
    bytes: bytesRead,
    cut,
    truncated: isCutOff,
    error: error?.message ?? null,
  };
}

function outputReports(devices: readonly CaptureDevice[]): OutputReport[] {
  return devices.flatMap(({ target, port, name }) =>
    target === null || port === null
      ? []
      : [{ file: target.output.path, device: name, packets: port.written, bytes: port.writtenBytes }],
  );
}

/** What came in at captures, by the counters of their devices. */
function readPackets({ counters, inputs }: SummaryParts): number {
  const devices = [...new Set(inputs.map(({ device }) => device))];
  const rows = devices.map(({ kind, id }) => (kind === 'port' ? PORT_ROW : UNDERLAY_ROW) + id);
  return rows.reduce((sum, row) => sum + readRow([counters], row).rxPackets, 0);
}

export function summarize(parts: SummaryParts): ReplayReport {
  const { counters, devices, flows, captureSeconds, seconds } = parts;
  const total = account([counters]);
  const outputs = outputReports(devices);
  const written = outputs.reduce((sum, o) => sum + o.packets, 0);
  const read = readPackets(parts);
  const rows = (all: readonly { id: number; name: string }[], base: number) =>
    all.map(({ id, name }) => deviceReport(name, readRow([counters], base + id)));
  return {
    version: 1,
    inputs: parts.inputs.map(inputReport),
    read,
    received: total.received - read,
    forwarded: total.sent,
    written,
    unwritten: total.sent - written,
    dropped: dropsOf(counters),
    copied: total.copied,
    made: total.made,
    consumed: total.consumed,
    held: total.held,
    outputs,
    ports: rows(parts.plan.ports, PORT_ROW),
    underlays: rows(parts.plan.underlays, UNDERLAY_ROW),
    flows: flows.flows,
    flowsAreMore: flows.isFull,
    captureSeconds,
    seconds,
    mpps: seconds > 0 ? read / seconds / 1e6 : 0,
    stopped: parts.stopped,
  };
}
