/**
 * The lab: builds, measures, reports, removes. Progress goes to standard error, the report to standard output.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createClient } from '../../control/api/client.js';
import type { DropsDocument, StatusDocument } from '../../observe/documents.js';
import { WeftError } from '../../packet/error.js';
import { EXIT_FAILED, print, printJson } from '../output.js';
import { background, say, sleep, tail } from './commands.js';
import { addKernelVxlan, buildHosts, describeHosts, type Host, inside, labFolder, MAIN } from './hosts.js';
import { addKernelBridge, machineImage, startMachine } from './machine.js';
import {
  connects,
  median,
  pingAcross,
  type Station,
  startReceiver,
  stationIn,
  type Transfer,
  transferAcross,
} from './measure.js';
import { type LabReport, reportText } from './report.js';
import { requireLab } from './requirements.js';
import { createUndo, type Undo } from './undo.js';

export interface LabOptions {
  duration: number;
  rounds: number;
  /** The station of host a is a virtual machine. */
  vm?: boolean;
  keep?: boolean;
  json?: boolean;
}

const PINGS = 20;

export async function runLab(options: LabOptions): Promise<void> {
  requireLab(options.vm === true);
  const undo = createUndo();
  const stop = new AbortController();
  const onSignal = (signal: NodeJS.Signals) => {
    if (stop.signal.aborted) return;
    say(`${signal}: removing everything`);
    stop.abort();
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal);
  let report: LabReport;
  try {
    report = await measure(options, undo, stop.signal);
    if (options.keep) {
      writeFileSync(join(labFolder(process.pid), 'kept'), '');
      undo.keep();
    }
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    say('weft: interrupted');
    process.exitCode = EXIT_FAILED;
    return;
  } finally {
    // Before the report is printed: whoever reads it may close the pipe and end this process.
    for (const failure of await undo.run()) say(`not removed: ${failure}`);
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.removeListener(signal, onSignal);
  }
  if (options.json) printJson(report);
  else print(reportText(report));
}

async function measure(options: LabOptions, undo: Undo, signal: AbortSignal): Promise<LabReport> {
  const id = process.pid;
  const hosts = describeHosts(id);
  const [a, b] = hosts;
  // Before anything is built: the first time it is a download.
  const image = options.vm ? await machineImage(signal) : null;
  const startedAt = performance.now();
  say(`building hosts ${a.netns} and ${b.netns}`);
  await buildHosts(hosts, id, image !== null, undo, signal);
  const readyMs = await Promise.all(hosts.map((host) => startNode(host, undo, signal)));
  const builtMs = performance.now() - startedAt;
  let skipped = await addKernelVxlan(hosts, signal);
  if (image !== null) skipped ??= await addKernelBridge(a, signal);
  if (skipped !== null) say(`no comparison with the kernel: ${skipped}`);
  if (image !== null) say('booting the virtual machine');
  const machine =
    image && (await startMachine(a, id, { image, mtu: await mtuOf(a), withKernel: !skipped }, undo, signal));
  const from = machine ?? stationIn(a);
  if (!(await connects(from, b.address, signal))) throw await noAnswer(hosts);
  say(`ping ${a.address} -> ${b.address}`);
  const weftRtt = await pingAcross(from, b.address, PINGS, signal);
  const kernelRtt = skipped === null ? await kernelPing(from, b, signal) : null;
  const receiver = await startReceiver(b, join(labFolder(id), 'iperf3.log'), undo, signal);
  const transfers = await transferInTurn(from, b, options, skipped === null, signal);
  await receiver.end();
  const weft = summary(transfers.weft);
  const kernel = transfers.kernel.length > 0 ? summary(transfers.kernel) : null;
  const nodes = await Promise.all(hosts.map(documentsOf));
  return {
    builtMs: Math.round(builtMs),
    readyMs: Math.max(...readyMs.map(Math.round)),
    hosts,
    machine: machine?.facts ?? null,
    kept: options.keep === true,
    durationSec: options.duration,
    roundTrip: { weft: weftRtt, kernel: kernelRtt },
    throughput: { weft, kernel },
    ratioToKernel: kernel === null ? null : weft.gbitPerSec / kernel.gbitPerSec,
    comparisonSkipped: skipped,
    rig: 'uncut',
    nodes: { a: nodes[0], b: nodes[1] },
  };
}

/** Starts the node of a host; resolves with the milliseconds until it answered. */
async function startNode(host: Host, undo: Undo, signal: AbortSignal): Promise<number> {
  const startedAt = performance.now();
  const node = background(inside(host, process.execPath, MAIN, 'up', host.configFile), host.logFile);
  undo.add(() => node.end());
  const client = createClient(host.socket);
  while (performance.now() - startedAt < 30_000) {
    signal.throwIfAborted();
    if (node.hasEnded) break;
    const state = await client.get<StatusDocument>('/v1/status').then(
      (status) => status.node.state,
      () => 'starting',
    );
    if (state === 'running') return performance.now() - startedAt;
    await sleep(20);
  }
  const why = node.hasEnded ? 'ended' : 'is not ready after 30 s';
  throw new WeftError('WORKER', `node ${host.node} ${why}:\n${tail(host.logFile)}`, { object: `node ${host.node}` });
}

async function kernelPing(from: Station, b: Host, signal: AbortSignal) {
  if (!(await connects(from, b.kernelAddress, signal))) return null;
  return pingAcross(from, b.kernelAddress, PINGS, signal);
}

/** weft and the kernel in turn, so that a machine that changes its speed changes both. */
async function transferInTurn(from: Station, b: Host, options: LabOptions, withKernel: boolean, signal: AbortSignal) {
  const weft: Transfer[] = [];
  const kernel: Transfer[] = [];
  for (let round = 1; round <= options.rounds; round++) {
    say(`TCP transfer, round ${round} of ${options.rounds}`);
    weft.push(await transferAcross(from, b.address, options.duration, signal));
    if (withKernel) kernel.push(await transferAcross(from, b.kernelAddress, options.duration, signal));
  }
  return { weft, kernel };
}

function summary(rounds: Transfer[]) {
  const retransmits = rounds.reduce((sum, round) => sum + round.retransmits, 0);
  return { gbitPerSec: median(rounds.map((round) => round.gbitPerSec)), retransmits, rounds };
}

const mtuOf = async ({ socket }: Host) =>
  (await createClient(socket).get<StatusDocument>('/v1/status')).networks[0].mtu;

async function documentsOf(host: Host): Promise<{ status: StatusDocument; drops: DropsDocument }> {
  const client = createClient(host.socket);
  const [status, drops] = await Promise.all([
    client.get<StatusDocument>('/v1/status'),
    client.get<DropsDocument>('/v1/drops'),
  ]);
  return { status, drops };
}

async function noAnswer(hosts: [Host, Host]): Promise<WeftError> {
  const nodes = await Promise.all(hosts.map(documentsOf));
  const hints = nodes.flatMap(({ status }) =>
    status.hints.map((hint) => `${status.node.name}, ${hint.object}: ${hint.message}`),
  );
  const logs = hosts.map((host) => `${host.node}:\n${tail(host.logFile)}`);
  return new WeftError('DEVICE', `no ping went across within 5 s\n${[...hints, ...logs].join('\n')}`, {
    object: 'lab',
  });
}
