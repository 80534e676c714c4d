// Traffic between namespaces: pings, TCP streams and UDP datagrams whose bytes are compared, and raw frames.

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { startIn } from './namespaces.js';
import { runToEnd } from './node.js';
import { until } from './waiting.js';

const STATION = fileURLToPath(new URL('station.mjs', import.meta.url));
const RAW_FRAMES = fileURLToPath(new URL('rawFrames.py', import.meta.url));
const EXCHANGE = fileURLToPath(new URL('exchange.py', import.meta.url));
const STEADY = fileURLToPath(new URL('steady.py', import.meta.url));
/** Where stations listen. */
export const STATION_PORT = 5001;

export interface PingOptions {
  count?: number;
  /** Bytes of ICMP payload. */
  size?: number;
  /** TOS byte of the requests. */
  tos?: number;
  /** Asks on until there are as many answers, whichever they are, at most for so long: for what may be lost, and where no answer is expected. */
  withinSec?: number;
}

const PING_INTERVAL_SEC = '0.1';
/**
 * Left to itself, ping leaves a tenth of a second after the last request once it has had an answer: on a busy machine an answer takes longer.
 * With a limit it stays for as many answers as it was told, and goes on asking meanwhile.
 */
const PING_LIMIT_SEC = 10;

/** Of what ping printed: how many of the first `count` requests were answered. What was asked behind them makes up for none that was lost. */
export function answersIn(printed: string, count: number): number {
  const lines = printed.split('\n').filter((line) => !line.includes('BAD CHECKSUM'));
  const numbers = lines.map((line) => Number(/ bytes from .*icmp_seq=(\d+)/.exec(line)?.[1]));
  return new Set(numbers.filter((number) => number <= count)).size;
}

/** Pings and returns the number of answers. */
export async function ping(namespace: string, address: string, options: PingOptions = {}): Promise<number> {
  const { count = 3, size = 56, tos = 0, withinSec } = options;
  const args = ['-n', '-c', `${count}`, '-i', PING_INTERVAL_SEC, '-w', `${withinSec ?? PING_LIMIT_SEC}`];
  args.push('-s', `${size}`, '-Q', `${tos}`, address);
  const { stdout, stderr } = await runToEnd('ip', ['netns', 'exec', namespace, 'ping', ...args]);
  const received = /(\d+) received/.exec(stdout)?.[1];
  if (received === undefined) throw new Error(`ping said: ${stdout}${stderr}`);
  return withinSec === undefined ? answersIn(stdout, count) : Number(received);
}

async function receiver(namespace: string, ...args: string[]) {
  const child = startIn(namespace, process.execPath, STATION, ...args);
  let said = '';
  child.stdout?.on('data', (text) => (said += text));
  child.stderr?.on('data', (text) => (said += text));
  await until(`${args[0]} is ready`, () => /ready/.test(said));
  return {
    result: async <T>(withinMs: number): Promise<T> => {
      await until(`the end of ${args[0]}, which said ${said}`, () => child.exitCode !== null, { withinMs });
      return JSON.parse(said.replace('ready', ''));
    },
    kill: () => child.kill('SIGKILL'),
  };
}

export interface Stream {
  bytes: number;
  sha256: string;
}

/** Receives one TCP stream in a namespace. */
export const receiveTcp = (namespace: string, address: string) =>
  receiver(namespace, 'tcp-receive', address, `${STATION_PORT}`);

/** Sends a TCP stream from a namespace to whoever listens there. */
export async function sendTcpTo(from: string, address: string, bytes: number, limitMs = 45_000): Promise<Stream> {
  const args = ['netns', 'exec', from, process.execPath, STATION, 'tcp-send', address, `${STATION_PORT}`, `${bytes}`];
  const { status, stdout, stderr } = await runToEnd('ip', args, limitMs);
  if (status !== 0) throw new Error(`tcp-send ended with ${status}: ${stderr}`);
  return JSON.parse(stdout);
}

/** Sends a TCP stream from one namespace to an address in another; what was sent and what arrived. */
export async function sendTcp(from: string, to: string, address: string, bytes: number, limitMs = 45_000) {
  const server = await receiveTcp(to, address);
  try {
    const sent = await sendTcpTo(from, address, bytes, limitMs);
    return { sent, received: await server.result<Stream>(limitMs) };
  } finally {
    server.kill();
  }
}

/** Sends UDP datagrams of 8 to `bytesMax` bytes; how many arrived, and how many of those were not what was sent. */
export async function sendUdp(from: string, to: string, address: string, count: number, bytesMax: number) {
  const server = await receiver(to, 'udp-receive', address, `${STATION_PORT}`, `${count}`);
  try {
    const args = ['udp-send', address, `${STATION_PORT}`, `${count}`, `${bytesMax}`];
    const { status, stderr } = await runToEnd('ip', ['netns', 'exec', from, process.execPath, STATION, ...args]);
    if (status !== 0) throw new Error(`udp-send ended with ${status}: ${stderr}`);
    return await server.result<{ datagrams: number; damaged: number }>(30_000);
  } finally {
    server.kill();
  }
}

/** Datagrams of one direction: those that came behind a later one, and those that were not what was sent, or came twice. */
export interface Arrived {
  arrived: number;
  late: number;
  damaged: number;
}

export interface Exchanged {
  tcpUp: boolean;
  tcpDown: boolean;
  udpUp?: Arrived;
  udpDown?: Arrived;
}

export interface ExchangeOptions {
  /** Bytes of the stream each way. */
  bytes: number;
  /** Datagrams each way; 0 for none. */
  datagrams?: number;
  size?: number;
  /** Datagrams that the sender hands over with one call (UDP_SEGMENT); 1 is plain. */
  segments?: number;
}

/** Answers `exchange` in a namespace, on all its addresses, until the namespaces are removed. */
export async function serveExchanges(namespace: string): Promise<void> {
  const child = startIn(namespace, 'python3', EXCHANGE, 'serve', `${STATION_PORT}`);
  let said = '';
  child.stdout?.on('data', (text) => (said += text));
  await until('the other station is ready', () => /ready/.test(said));
}

/** A TCP stream and numbered UDP datagrams to each address and back, one after the other; what became of them. */
export async function exchange(namespace: string, to: string[], options: ExchangeOptions): Promise<Exchanged[]> {
  const { bytes, datagrams = 0, size = 1200, segments = 1 } = options;
  const args = [EXCHANGE, 'ask', to.join(','), STATION_PORT, bytes, datagrams, size, segments].map(String);
  const { status, stdout, stderr } = await runToEnd('ip', ['netns', 'exec', namespace, 'python3', ...args]);
  if (status !== 0) throw new Error(`exchange with ${to} ended with ${status}: ${stderr}`);
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}

/** One raw frame; `vnet` is the virtio-net header that says how the device is to finish it. */
export type RawFrame = { frame: Uint8Array; vnet?: Uint8Array };

/** Sends raw frames out of a device, as they are. */
export function sendFrames(
  namespace: string,
  device: string,
  frames: readonly (Uint8Array | RawFrame)[],
): Promise<void> {
  const lines = frames.map((raw) => {
    const { frame, vnet = new Uint8Array(10) } = raw instanceof Uint8Array ? { frame: raw } : raw;
    return `${Buffer.from(vnet).toString('hex')} ${Buffer.from(frame).toString('hex')}\n`;
  });
  return new Promise((resolve, reject) => {
    const child = execFile('ip', ['netns', 'exec', namespace, 'python3', RAW_FRAMES, device], (error, _, stderr) => {
      if (error) reject(new Error(`rawFrames.py: ${stderr}`));
      else resolve();
    });
    child.stdin?.end(lines.join(''));
  });
}

/** What became of a steady stream of numbered datagrams. */
export interface Steady {
  sent: number;
  received: number;
  /** Those that came again. */
  twice: number;
  /** Those that came behind a later one. */
  late: number;
}

/** Sends numbered datagrams at a steady rate to an address in another namespace; what became of them. */
export async function sendSteady(
  from: string,
  to: string,
  address: string,
  seconds: number,
  pps: number,
): Promise<Steady> {
  const server = startIn(to, 'python3', STEADY, 'receive', address, `${STATION_PORT}`);
  let said = '';
  server.stdout?.on('data', (text) => (said += text));
  await until('the receiver is ready', () => /ready/.test(said));
  const args = [STEADY, 'send', address, `${STATION_PORT}`, `${seconds}`, `${pps}`];
  const limitMs = seconds * 1000 + 20_000;
  const { status, stdout, stderr } = await runToEnd('ip', ['netns', 'exec', from, 'python3', ...args], limitMs);
  if (status !== 0) throw new Error(`steady.py ended with ${status}: ${stderr}`);
  await until('the end of the receiver', () => server.exitCode !== null, { withinMs: 30_000 });
  const { received, twice, late } = JSON.parse(said.replace('ready', ''));
  return { ...JSON.parse(stdout), received, twice, late };
}
