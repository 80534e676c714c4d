import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { background, finish, must, sleep } from '../../dist/cli/lab/commands.js';
import type { Undo } from '../../dist/cli/lab/undo.js';
import { type IperfResult, parseIperf } from './iperf.js';
import { readBusySeconds, readProcessSeconds } from './processes.js';
import { type Host, inside } from './rig.js';

export interface Transfer extends IperfResult {
  /** Busy time of all cores of the machine, whoever used them. */
  machineSecPerGigabyte: number;
  /** User and system time of the weft processes; 0 for the kernel's VXLAN, whose work is nobody's. */
  weftSecPerGigabyte: number;
}

/** Waits until a log says that its node moves frames. */
export async function waitReady(logFile: string, hasEnded: () => boolean, signal: AbortSignal): Promise<void> {
  for (let waited = 0; waited < 15_000; waited += 5) {
    signal.throwIfAborted();
    const text = readFileSync(logFile, 'utf8');
    if (/ready: node/.test(text)) return;
    if (hasEnded()) throw new Error(`a node ended instead of starting:\n${text}`);
    await sleep(5);
  }
  throw new Error(`a node was not ready in 15 s:\n${readFileSync(logFile, 'utf8')}`);
}

export async function waitAnswer(from: Host, address: string, signal: AbortSignal): Promise<void> {
  const { code } = await finish(inside(from, 'ping', '-n', '-q', '-c', '1', '-w', '5', address), signal);
  if (code !== 0) throw new Error(`${address} does not answer from ${from.netns}`);
}

export async function startReceiver(host: Host, folder: string, undo: Undo, signal: AbortSignal): Promise<void> {
  const log = join(folder, 'iperf3.log');
  const server = background(inside(host, 'iperf3', '-s'), log);
  undo.add(() => server.end());
  for (let attempt = 0; attempt < 100 && !server.hasEnded; attempt++) {
    const listening = await must(inside(host, 'ss', '-ltnH', 'sport', '=', ':5201'), signal);
    if (listening.trim() !== '') return;
    await sleep(50);
  }
  throw new Error(`iperf3 does not listen:\n${readFileSync(log, 'utf8')}`);
}

/** One transfer of so many seconds, and what it cost. */
export async function transfer(
  from: Host,
  address: string,
  seconds: number,
  streams: number,
  weftPids: readonly number[],
  signal: AbortSignal,
): Promise<Transfer> {
  const weftSeconds = () => weftPids.reduce((sum, pid) => sum + readProcessSeconds(pid), 0);
  const command = ['iperf3', '-c', address, '-t', String(seconds), '-P', String(streams), '-J'];
  const machineBefore = readBusySeconds();
  const weftBefore = weftSeconds();
  const { stdout } = await finish(inside(from, ...command), signal, (seconds + 20) * 1000);
  const machine = readBusySeconds() - machineBefore;
  const weft = weftSeconds() - weftBefore;
  const result = parseIperf(stdout);
  return {
    ...result,
    machineSecPerGigabyte: machine / result.gigabytes,
    weftSecPerGigabyte: weft / result.gigabytes,
  };
}
