import { realpathSync } from 'node:fs';
import { join } from 'node:path';
import { WeftError } from '../packet/error.js';
import type { Plan } from '../pipeline/plan.js';
import { type CaptureInput, openCaptureInput } from '../port/captureInput.js';
import { bindCaptureKernel, type CaptureContext, type CaptureKernel } from '../port/captureKernel.js';
import { type CaptureOutput, openCaptureOutput } from '../port/captureOutput.js';
import type { LinkDevice } from '../port/linkLayer.js';
import {
  type CaptureGate,
  type CapturePort,
  type CaptureTarget,
  makeCapturePort,
  type OpenCapture,
} from '../port/pcap.js';
import * as Pcap from '../wire/pcap.js';
import { compileEdits } from './edits.js';
import type { TaskInput } from './task.js';

/** Slots of a piece of a file: 1 MiB for a few files, less where there are many. */
export const PIECE_SLOTS_MAX = 16;
const PIECES_SLOTS_TOTAL = 1024;

export interface CaptureFiles {
  inputs: readonly TaskInput[];
  out: string | null;
  outDir: string | null;
  outOnly: readonly string[] | null;
  keepInterfaces: boolean;
}

/** A port or underlay of the plan, as a replay sees it. */
export interface CaptureDevice {
  kind: 'port' | 'underlay';
  id: number;
  name: string;
  link: LinkDevice;
  input: CaptureInput | null;
  /** How the session lets records through; the device's own, so that inputs can be merged. */
  gate: CaptureGate;
  /** Where it writes; null: nowhere. */
  target: CaptureTarget | null;
  /** Set when the pipeline opens the device. */
  port: CapturePort | null;
}

/** All devices of a plan, ports first. */
export function devicesOf(plan: Plan, makeGate: () => CaptureGate): CaptureDevice[] {
  const routed = new Set(plan.networks.filter((n) => n.mode === 'l3').map((n) => n.id));
  const device = (kind: 'port' | 'underlay', id: number, name: string, link: LinkDevice): CaptureDevice => {
    return { kind, id, name, link, input: null, gate: makeGate(), target: null, port: null };
  };
  return [
    ...plan.ports
      .filter((p) => p.kind === 'pcap')
      .map((p) =>
        device('port', p.id, p.name, { carries: routed.has(p.network) ? 'ip' : 'ethernet', isUnderlay: false }),
      ),
    ...plan.underlays
      .filter((u) => u.frame?.kind === 'pcap')
      .map((u) => device('underlay', u.id, u.name, { carries: 'ethernet', isUnderlay: true })),
  ];
}

/** How many slots pieces may have, and how many all of them need. */
export function pieceSlots(files: number): { each: number; total: number } {
  const each = Math.max(1, Math.min(PIECE_SLOTS_MAX, Math.floor(PIECES_SLOTS_TOTAL / Math.max(1, files))));
  return { each, total: each * files + 1 };
}

const linkOf = (device: CaptureDevice) => (device.link.carries === 'ip' ? Pcap.LINK_RAW : Pcap.LINK_ETHERNET);

const isWritten = (files: CaptureFiles, device: CaptureDevice) =>
  (files.out !== null || files.outDir !== null) && (files.outOnly?.includes(device.name) ?? true);

/** Files that a replay will write. */
export function outputPaths(files: CaptureFiles, devices: readonly CaptureDevice[]): string[] {
  if (files.out !== null) return [files.out];
  return devices.filter((d) => isWritten(files, d)).map((d) => join(files.outDir ?? '', `${d.name}.pcapng`));
}

/** A file that is read and written at once would grow for ever, or be empty. */
function refuseSame(files: CaptureFiles, devices: readonly CaptureDevice[]): void {
  const real = (path: string) => {
    try {
      return realpathSync(path);
    } catch {
      return null;
    }
  };
  const inputs = new Map(files.inputs.filter((i) => i.file !== '-').map((i) => [real(i.file), i.file]));
  for (const path of outputPaths(files, devices)) {
    const input = path === '-' ? undefined : inputs.get(real(path));
    if (input === undefined || real(path) === null || path.startsWith('/dev/')) continue;
    throw new WeftError('USAGE', `${path} is both read and written`, { object: path, remedy: 'write another file' });
  }
}

/** Opens files and makes the ports over them; the pipeline asks for ports when the plan is applied. */
export interface OpenedCaptures {
  readonly devices: readonly CaptureDevice[];
  readonly outputs: readonly CaptureOutput[];
  /** In the order of the task's inputs. */
  readonly inputs: readonly { device: CaptureDevice; input: CaptureInput }[];
  open: OpenCapture;
  /** Writes what waits and closes all files; throws what the first of them that could not be written says. */
  close(): void;
  /** The same after an error, which is the one to tell. */
  abandon(): void;
}

export function openCaptures(
  context: CaptureContext,
  devices: readonly CaptureDevice[],
  files: CaptureFiles,
  edits: Parameters<typeof compileEdits>[0],
  slots: number,
  setUp: (kernel: CaptureKernel) => void,
): OpenedCaptures {
  const kernel = bindCaptureKernel(context);
  if (files.keepInterfaces) kernel.sections = [];
  setUp(kernel);
  const { pool } = context;
  const inputs: { device: CaptureDevice; input: CaptureInput }[] = [];
  const outputs: CaptureOutput[] = [];

  const close = () => {
    for (const { input } of inputs) input.close();
    let failure: unknown = null;
    for (const output of outputs) {
      try {
        output.close();
      } catch (error) {
        failure ??= error;
      }
    }
    if (failure !== null) throw failure;
  };

  const abandon = () => {
    try {
      close();
    } catch {
      // There has been another error already.
    }
  };

  try {
    refuseSame(files, devices);
    for (const { file, kind, id, device: name } of files.inputs) {
      const device = devices.find((d) => d.kind === kind && d.id === id);
      if (device === undefined) throw new WeftError('USAGE', `${kind} ${name} is not a capture device of the plan`);
      const object = `${kind} ${name}`;
      device.input = openCaptureInput(kernel, { object, path: file, device: device.link, pool, pieceSlots: slots });
      inputs.push({ device, input: device.input });
    }
    openOutputs(kernel, devices, files, pool, slots, inputs, outputs);
  } catch (error) {
    abandon();
    throw error;
  }

  const open: OpenCapture = ({ id, device }) => {
    const own = devices.find((d) => (d.kind === 'underlay') === device?.isUnderlay && d.id === id);
    if (own === undefined) throw new WeftError('USAGE', `the plan has a capture device ${id} that the replay does not`);
    const { input, target, gate, name, link } = own;
    const edit = edits.length === 0 ? null : compileEdits(edits, name, link.carries === 'ethernet');
    own.port = makeCapturePort(kernel, { id, name, input, target, gate, edit });
    return own.port;
  };
  return { devices, outputs, inputs, open, close, abandon };
}

function openOutputs(
  kernel: CaptureKernel,
  devices: readonly CaptureDevice[],
  files: CaptureFiles,
  pool: CaptureContext['pool'],
  slots: number,
  inputs: readonly { input: CaptureInput }[],
  outputs: CaptureOutput[],
): void {
  const written = devices.filter((device) => isWritten(files, device));
  if (written.length === 0) return;
  // Times as they came: microseconds where no input has finer ones.
  const isMicro = inputs.map(({ input }) => input.peek() && input.isMicro).every(Boolean) && inputs.length > 0;
  const keepsInterfaces = files.keepInterfaces;
  const open = (path: string, object: string) => {
    const format = path.toLowerCase().endsWith('.pcap') ? ('pcap' as const) : ('pcapng' as const);
    const output = openCaptureOutput(kernel, {
      ...{ object, path, format, isMicro, pool },
      ...{ pieceSlots: slots, isLive: false },
    });
    outputs.push(output);
    return output;
  };
  const add = (output: CaptureOutput, device: CaptureDevice) => {
    const linkType = linkOf(device);
    const keeps = keepsInterfaces && output.format === 'pcapng';
    device.target = {
      output,
      id: keeps ? -1 : output.addInterface(linkType, device.name),
      linkType,
      keepsInterfaces: keeps,
    };
  };
  if (files.out === null) {
    for (const device of written)
      add(open(join(files.outDir ?? '', `${device.name}.pcapng`), `${device.kind} ${device.name}`), device);
    return;
  }
  const links = new Set(written.map(linkOf));
  if (files.out.toLowerCase().endsWith('.pcap') && links.size > 1)
    throw new WeftError(
      'USAGE',
      `${files.out}: a pcap file has one link type, and the outputs are Ethernet and raw IP`,
      {
        object: files.out,
        remedy: 'write pcapng, or a file for each device',
      },
    );
  const output = open(files.out, 'output');
  for (const device of written) add(output, device);
}
