// A kernel in memory: TAP queues, UDP sockets and a poll, with the calling convention of the native addon. The real port/tap.ts and
// underlay/udp.ts run over it, without devices and without root.
import type { IoLayout, Tun } from '../../src/native/tun.js';
import { join, v4, v6, v6Text } from './frames.js';

export interface Datagram {
  bytes: Uint8Array;
  /** Segment size that UDP_GRO reports; 0 or absent: a plain datagram. */
  segment?: number;
  /** Sender, IPv4 or IPv6. */
  from: string;
  /** Raw sockets: bytes in front of the payload (IPv4 options), or -1 for a header that contradicts the length. */
  off?: number;
  /** Outer TOS; absent: unknown. */
  tos?: number;
  isTruncated?: boolean;
}

export interface VnetHeader {
  flags: number;
  gsoType: number;
  headerLen: number;
  gsoSize: number;
  csumStart: number;
  csumOffset: number;
}

export interface TapFrame {
  frame: Uint8Array;
  vnet?: Partial<VnetHeader>;
  isTruncated?: boolean;
}

/** One call of sendmsg on a UDP socket. */
export interface SentMessage {
  fd: number;
  /** Index of the sending socket in the underlay. */
  socket: number;
  /** Row of the destination table, and what stands there. */
  dest: number;
  address: string;
  port: number;
  gso: number;
  tos: number;
  bytes: Uint8Array;
  /** What goes on the wire: `bytes`, cut by `gso`. */
  datagrams: Uint8Array[];
}

export interface SentFrame {
  fd: number;
  frame: Uint8Array;
  vnet: VnetHeader | null;
}

export interface FakeKernel {
  tun: Tun;
  /** What the next receive on a descriptor gives. */
  datagrams(fd: number, ...more: Datagram[]): void;
  frames(fd: number, ...more: TapFrame[]): void;
  /** Length of a TAP's virtio-net header, by descriptor; 0 when not set. */
  vnetHdrLen: Map<number, number>;
  sent: SentMessage[];
  written: SentFrame[];
  /** Result of a send or write instead of its bytes: a negative errno, or undefined. `m` counts from 0 in every call. */
  refuse: ((fd: number, m: number) => number | undefined) | undefined;
  /** A receive that fails with this negative errno, once, by descriptor. */
  rxError: Map<number, number>;
  /** Datagrams of a socket that were lost before rx since it was opened; told only once there are some, as the kernel does. */
  overflowed: Map<number, number>;
  /** ICMP errors that wait: destination that was meant, and errno. */
  errors: { address: string; errno: number }[];
  /** What the poll watches: ids by descriptor. */
  watched: Map<number, number>;
  /** Timeouts of the polls so far, in microseconds. */
  waits: number[];
  /** Monotonic seconds, as every poll tells them. */
  now: number;
}

/** An address as the kernel tells it: 16 bytes, IPv4 mapped. */
const mapped = (address: string) =>
  address.includes(':') ? v6(address) : join('00000000000000000000ffff', v4(address));

/** What stands in a row of the destination table. */
function destinationOf(row: Int32Array): string {
  const bytes = new Uint8Array(row.buffer);
  return row[0] === 4 ? Array.from(bytes.slice(8, 12)).join('.') : v6Text(bytes.slice(8, 24));
}

export function readVnet(bytes: Uint8Array): VnetHeader {
  const le = (at: number) => bytes[at] + bytes[at + 1] * 256;
  return { flags: bytes[0], gsoType: bytes[1], headerLen: le(2), gsoSize: le(4), csumStart: le(6), csumOffset: le(8) };
}

function vnetBytes(v: Partial<VnetHeader> | undefined): Uint8Array {
  const le = (n = 0) => [n & 255, (n >>> 8) & 255];
  return join(
    v?.flags ?? 0,
    v?.gsoType ?? 0,
    le(v?.headerLen),
    le(v?.gsoSize),
    le(v?.csumStart),
    le(v?.csumOffset),
    0,
    0,
  );
}

function gather(arena: Uint8Array, io: Int32Array, l: IoLayout, m: number): Uint8Array[] {
  const first = io[l.msgFirst + m];
  return Array.from({ length: io[l.msgCount + m] }, (_, e) => {
    const at = io[l.extAt + first + e];
    return arena.slice(at, at + io[l.extLen + first + e]);
  });
}

/** The bytes of a message as the kernel cuts them: every `gso` bytes a datagram. */
function cut(bytes: Uint8Array, gso: number): Uint8Array[] {
  if (gso === 0) return [bytes];
  const out: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += gso) out.push(bytes.slice(at, at + gso));
  return out;
}

export function makeKernel(): FakeKernel {
  const udpQueues = new Map<number, Datagram[]>();
  const tapQueues = new Map<number, TapFrame[]>();
  const queue = <T>(queues: Map<number, T[]>, fd: number) => {
    if (!queues.has(fd)) queues.set(fd, []);
    return queues.get(fd) as T[];
  };

  const kernel: FakeKernel = {
    tun: {} as Tun,
    datagrams: (fd, ...more) => void queue(udpQueues, fd).push(...more),
    frames: (fd, ...more) => void queue(tapQueues, fd).push(...more),
    vnetHdrLen: new Map(),
    sent: [],
    written: [],
    refuse: undefined,
    rxError: new Map(),
    overflowed: new Map(),
    errors: [],
    watched: new Map(),
    waits: [],
    now: 1000,
  };

  function failedRx(fd: number): number {
    const errno = kernel.rxError.get(fd) ?? 0;
    kernel.rxError.delete(fd);
    return errno;
  }

  const bindDatagramRx: Tun['bindUdpRx'] = (arena, io, l, fd) => (max) => {
    const errno = failedRx(fd);
    if (errno !== 0) return errno;
    const taken = queue(udpQueues, fd).splice(0, max);
    taken.forEach((d, i) => {
      const bytes = d.bytes.subarray(0, io[l.rxCap + i]);
      arena.set(bytes, io[l.rxAt + i]);
      io[l.rxLen + i] = bytes.length;
      io[l.rxGso + i] = d.segment ?? 0;
      io[l.rxOff + i] = d.off ?? 0;
      io[l.rxTos + i] = d.tos ?? -1;
      io[l.rxFlags + i] = d.isTruncated || bytes.length < d.bytes.length ? 1 : 0;
      io.set(new Int32Array(mapped(d.from).buffer), l.rxSrc + i * 4);
    });
    const lost = kernel.overflowed.get(fd) ?? 0;
    if (lost !== 0 && taken.length > 0) io[l.counters] = lost;
    return taken.length;
  };

  const bindUdpTx: Tun['bindUdpTx'] = (arena, io, l, fds, destinations) => (first, n) => {
    let went = 0;
    for (let m = first; m < first + n; m++) {
      const socket = io[l.msgSocket + m];
      const fd = fds[socket];
      const bytes = join(...gather(arena, io, l, m));
      io[l.msgResult + m] = kernel.refuse?.(fd, m - first) ?? bytes.length;
      if (io[l.msgResult + m] < 0) continue;
      went++;
      const dest = io[l.msgDest + m];
      const row = destinations.slice(dest * 8, dest * 8 + 8);
      const address = destinationOf(row);
      const gso = io[l.msgGso + m];
      const tos = io[l.msgTos + m];
      kernel.sent.push({ fd, socket, dest, address, port: row[1], gso, tos, bytes, datagrams: cut(bytes, gso) });
    }
    return went;
  };

  const bindTapRx: Tun['bindTapRx'] = (arena, io, l, fd, vnetAt, vnetHdrLen) => (max, byteLimit) => {
    const errno = failedRx(fd);
    if (errno !== 0) return errno;
    const waiting = queue(tapQueues, fd);
    let n = 0;
    for (let total = 0; n < max && total < byteLimit && waiting.length > 0; n++) {
      const t = waiting.shift() as TapFrame;
      const bytes = t.frame.subarray(0, io[l.rxCap + n]);
      if (vnetHdrLen > 0) arena.set(vnetBytes(t.vnet).subarray(0, vnetHdrLen), vnetAt + 16 * n);
      arena.set(bytes, io[l.rxAt + n]);
      io[l.rxLen + n] = bytes.length;
      io[l.rxFlags + n] = t.isTruncated || bytes.length < t.frame.length ? 1 : 0;
      total += bytes.length;
    }
    return n;
  };

  const bindTapTx: Tun['bindTapTx'] = (arena, io, l, fd) => (first, n) => {
    let went = 0;
    const vnetHdrLen = kernel.vnetHdrLen.get(fd) ?? 0;
    for (let m = first; m < first + n; m++) {
      const parts = gather(arena, io, l, m);
      const bytes = join(...parts);
      io[l.msgResult + m] = kernel.refuse?.(fd, m - first) ?? bytes.length;
      if (io[l.msgResult + m] < 0) continue;
      went++;
      // The header is an extent of its own: a TAP that has one gets it, one that has none gets none.
      if (vnetHdrLen > 0 && parts[0].length !== vnetHdrLen) throw new Error(`vnet header of ${parts[0].length} bytes`);
      kernel.written.push({ fd, frame: bytes.slice(vnetHdrLen), vnet: vnetHdrLen > 0 ? readVnet(bytes) : null });
    }
    return went;
  };

  const bindErrorQueue: Tun['bindErrorQueue'] = (_arena, io, l) => () => {
    const taken = kernel.errors.splice(0, l.burst);
    taken.forEach((e, i) => {
      io[l.rxLen + i] = e.errno;
      io.set(new Int32Array(mapped(e.address).buffer), l.rxSrc + i * 4);
    });
    return taken.length;
  };

  const isReady = (fd: number) =>
    queue(udpQueues, fd).length > 0 || queue(tapQueues, fd).length > 0 || kernel.rxError.has(fd) || rung.has(fd);

  const bindPoll: Tun['bindPoll'] = (io, l, readyAt, readyMax) => ({
    add(fd, id) {
      if (kernel.watched.has(fd)) throw new Error('EEXIST');
      kernel.watched.set(fd, id);
    },
    remove(fd) {
      if (!kernel.watched.delete(fd)) throw new Error('ENOENT');
    },
    wait(timeoutUs) {
      kernel.waits.push(timeoutUs);
      io[l.clock] = Math.floor(kernel.now);
      io[l.clock + 1] = (kernel.now * 1000) % 2 ** 31;
      new Float64Array(io.buffer, io.byteOffset + (l.clock + 2) * 4, 1)[0] = kernel.now;
      const ids = [...kernel.watched].filter(([fd]) => isReady(fd)).map(([, id]) => id);
      ids.slice(0, readyMax).forEach((id, k) => {
        io[readyAt + k] = id;
      });
      return Math.min(ids.length, readyMax);
    },
    close: () => kernel.watched.clear(),
  });

  // An eventfd that was rung stays ready: nobody drains it.
  let nextFd = 5000;
  const rung = new Set<number>();
  const eventfd = () => nextFd++;
  const wake = (fd: number) => {
    rung.add(fd);
    return 0;
  };

  kernel.tun = {
    unbind() {},
    bindUdpRx: bindDatagramRx,
    bindRawRx: bindDatagramRx,
    bindUdpTx,
    bindTapRx,
    bindTapTx,
    bindErrorQueue,
    bindPoll,
    eventfd,
    wake,
    close: () => {},
  } as Partial<Tun> as Tun;
  return kernel;
}
