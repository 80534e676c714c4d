/**
 * Ping and TCP between the stations of the lab.
 */
import { WeftError } from '../../packet/error.js';
import { type Background, background, type Finished, finish, must, sleep } from './commands.js';
import { type Host, inside } from './hosts.js';
import type { Undo } from './undo.js';

/** What traffic comes from: a host's namespace, or a virtual machine. */
export interface Station {
  run(command: string[], signal: AbortSignal, timeoutMs?: number): Promise<Finished>;
}

export const stationIn = (host: Host): Station => ({
  run: (command, signal, timeoutMs) => finish(inside(host, ...command), signal, timeoutMs),
});

export interface RoundTrip {
  /** Milliseconds. */
  minMs: number;
  avgMs: number;
  maxMs: number;
  sent: number;
  received: number;
}

export interface Transfer {
  gbitPerSec: number;
  retransmits: number;
}

/** Waits until the first answer comes: learning and ARP take a moment. */
export async function connects(from: Station, address: string, signal: AbortSignal): Promise<boolean> {
  const { code } = await from.run(['ping', '-n', '-c', '1', '-w', '5', address], signal);
  return code === 0;
}

export async function pingAcross(
  from: Station,
  address: string,
  count: number,
  signal: AbortSignal,
): Promise<RoundTrip> {
  const command = ['ping', '-n', '-q', '-c', String(count), '-i', '0.05', '-W', '1', address];
  const { stdout } = await from.run(command, signal);
  return parsePing(stdout);
}

/** Reads the summary of iputils' ping. */
export function parsePing(text: string): RoundTrip {
  const packets = /(\d+) packets transmitted, (\d+)(?: packets)? received/.exec(text);
  const times = /= ([\d.]+)\/([\d.]+)\/([\d.]+)/.exec(text);
  if (!packets || !times)
    throw new WeftError('DEVICE', 'ping got no answer', { object: 'ping', cause: new Error(text) });
  const [minMs, avgMs, maxMs] = times.slice(1).map(Number);
  return { minMs, avgMs, maxMs, sent: Number(packets[1]), received: Number(packets[2]) };
}

/** Starts the receiving end of the transfers. */
export async function startReceiver(host: Host, logFile: string, undo: Undo, signal: AbortSignal): Promise<Background> {
  const server = background(inside(host, 'iperf3', '-s', '--forceflush'), logFile);
  undo.add(() => server.end());
  for (let attempt = 0; attempt < 100; attempt++) {
    if (server.hasEnded) break;
    const listening = await must(['ip', 'netns', 'exec', host.netns, 'ss', '-ltnH', 'sport', '=', ':5201'], signal);
    if (listening.trim() !== '') return server;
    await sleep(50);
  }
  throw new WeftError('DEVICE', 'iperf3 does not listen', { object: 'iperf3', remedy: `see ${logFile}` });
}

/** One TCP stream for so many seconds; a second before them, in which TCP finds its speed, is left out. */
export async function transferAcross(
  from: Station,
  address: string,
  durationSec: number,
  signal: AbortSignal,
): Promise<Transfer> {
  const command = ['iperf3', '-c', address, '-t', String(durationSec), '-O', '1', '-J'];
  const { stdout, stderr } = await from.run(command, signal, (durationSec + 20) * 1000);
  return parseIperf(stdout, stderr);
}

/** Reads iperf3's JSON report. */
export function parseIperf(stdout: string, stderr = ''): Transfer {
  let report: {
    error?: string;
    end?: { sum_received?: { bits_per_second: number }; sum_sent?: { retransmits?: number } };
  };
  try {
    report = JSON.parse(stdout);
  } catch {
    report = { error: (stderr || stdout).trim() || 'no report' };
  }
  const rate = report.end?.sum_received?.bits_per_second;
  if (report.error !== undefined || rate === undefined)
    throw new WeftError('DEVICE', `the TCP transfer failed: ${report.error ?? 'no result'}`, { object: 'iperf3' });
  return { gbitPerSec: rate / 1e9, retransmits: report.end?.sum_sent?.retransmits ?? 0 };
}

export function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
