// The addon over TAP devices, UDP sockets, poll and rtnetlink (native/tun, Rust): its types, and a lazy loader.
//
// Control functions run at set-up, may allocate, and throw: an Error with `code`, `errno` and `syscall` for a failed
// system call, a TypeError or RangeError for an argument. Bound functions are made once per worker over the arena and
// the io words; they take numbers and return a count, or a negative errno. -EINVAL (-22): an argument, or an offset
// found in io, lies outside of what was bound; -ENOTRECOVERABLE (-131): a defect inside of the addon.

import { createRequire } from 'node:module';

/** What control functions throw when a system call fails. */
export interface SystemError extends Error {
  /** Symbolic name: 'EBUSY', 'ENODEV', ... */
  code: string;
  /** The error number, positive. */
  errno: number;
  /** The failed call: 'ioctl TUNSETIFF', 'bind', 'netlink RTM_NEWADDR', ... */
  syscall: string;
}

/** What the kernel and this process can do, each feature really tried in a namespace of its own. */
export interface Probe {
  /** Kernel release, as uname -r prints it. */
  kernel: string;
  /** TAP devices can be made. */
  tun: boolean;
  /** Frames carry a virtio-net header of 12 bytes. */
  vnetHdr: boolean;
  /** TCP superframes over IPv4 and IPv6. */
  tso4: boolean;
  tso6: boolean;
  /** UDP superframes (Linux 6.2). */
  uso: boolean;
  /** Superframes inside of UDP tunnels, with a header of 24 bytes (Linux 6.17). */
  tunnelGso: boolean;
  /** The kernel cuts a message into datagrams (UDP_SEGMENT). */
  udpSegment: boolean;
  /** The kernel merges datagrams of one flow and says their size (UDP_GRO). */
  udpGro: boolean;
  /** Why a feature is missing, by the names above. */
  reasons: Record<string, string>;
}

/** Which offloads the reader of a device can take: the bits of TUNSETOFFLOAD. */
export const TUN_F_CSUM = 0x01;
export const TUN_F_TSO4 = 0x02;
export const TUN_F_TSO6 = 0x04;
export const TUN_F_TSO_ECN = 0x08;
export const TUN_F_USO4 = 0x20;
export const TUN_F_USO6 = 0x40;

export interface TapRequest {
  /** Path of the network namespace the device is in (/run/netns/NAME); absent: the process's own. */
  netns?: string;
  /** 1 to 15 bytes. */
  name: string;
  /** true: it must not exist (EEXIST); false: it must (ENODEV). */
  create: boolean;
  /** Default 'tap'. */
  kind?: 'tap' | 'tun';
  /** Descriptors to open, 1 to 256. More than one makes a multi-queue device; one that exists stays what it is. */
  queues: number;
  /** Frames with a virtio-net header in front. */
  vnetHdr: boolean;
  /** Wanted TUN_F_* bits; 0 without vnetHdr. What the kernel refuses is left out, USO first. */
  offloads: number;
  /** User and group ids that may attach without CAP_NET_ADMIN. */
  owner?: number;
  group?: number;
  /** The device stays when its last descriptor is closed. Absent: left as it is (a new one goes). */
  persist?: boolean;
}

export interface Tap {
  /** One per queue, non-blocking, closed by exec. */
  fds: number[];
  name: string;
  ifindex: number;
  /** Bytes in front of every frame: 0, 10 or 12, little-endian. */
  vnetHdrLen: number;
  /** TUN_F_* bits in force. */
  offloads: number;
  multiQueue: boolean;
}

export interface Link {
  index: number;
  name: string;
  /** 'aa:bb:cc:dd:ee:ff'; empty for a device without one. */
  mac: string;
  /** Bytes. */
  mtu: number;
  /** Administratively up. */
  up: boolean;
  /** Up, with a carrier. */
  running: boolean;
  /** rtnetlink's kind ('veth', 'vxlan', 'bridge'), 'tap' and 'tun' told apart; empty for lo and physical devices. */
  kind: string;
  /** Bytes of the largest superframe that the kernel hands to the device. */
  gsoMaxSize: number;
  /** Id of the namespace that the device's other end is in, where rtnetlink gives it. */
  netnsid?: number;
}

export interface LinkChange {
  netns?: string;
  name: string;
  up?: boolean;
  /** Bytes. */
  mtu?: number;
  mac?: string;
  /** Bytes; sets gso_max_size and gro_max_size, and their IPv4 variants where the kernel has them. */
  gsoMaxSize?: number;
  /** Frames. */
  txQueueLen?: number;
  /** Given first, so that the other changes apply to the renamed device. Fails (EBUSY) on old kernels while it is up. */
  newName?: string;
  /** Path of the namespace to move it into. The kernel takes it down and removes its addresses; `up` applies there. */
  moveTo?: string;
}

export interface InterfaceAddress {
  /** Of the device. */
  index: number;
  /** Of the device. */
  name: string;
  address: string;
  prefixLen: number;
  family: 4 | 6;
}

export interface UdpRequest {
  netns?: string;
  family: 4 | 6;
  /** To bind to: '198.18.0.1', '::', 'fe80::1%eth0'. IPv6 sockets never take IPv4. */
  address: string;
  /** 0: the kernel chooses one. */
  port: number;
  /** SO_BINDTODEVICE. */
  device?: string;
  reusePort?: boolean;
  /** UDP_GRO: datagrams of a flow arrive merged, with their size. */
  gro?: boolean;
  /** Received TOS or traffic class in rxTos. */
  recvTos?: boolean;
  /** Bytes, past the machine's limit with CAP_NET_ADMIN; 0 or absent: the kernel's default. */
  rcvbuf?: number;
  sndbuf?: number;
  /** Send without UDP checksum; over IPv6 also accept datagrams without. Excludes UDP_SEGMENT. */
  noChecksum?: boolean;
  /** A filter drops all input before bind: for sockets that only send. */
  sink?: boolean;
  /** TTL or hop limit, 1 to 255. */
  ttl?: number;
  /** TOS or traffic class, 0 to 255. */
  tos?: number;
  /** DF on every datagram, without regard to the kernel's path MTU (IP_PMTUDISC_PROBE). */
  pmtudiscProbe?: boolean;
  /** ICMP errors are queued (bindErrorQueue). */
  recvErr?: boolean;
  /** Datagrams lost to a full receive buffer are counted in counters[0]. */
  rxqOvfl?: boolean;
}

export interface UdpSocket {
  fd: number;
  port: number;
  /** Bytes as the kernel accounts them: twice what was asked for. */
  rcvbuf: number;
  sndbuf: number;
  /** UDP_GRO is on. */
  gro: boolean;
  /** UDP_SEGMENT can be used. */
  segment: boolean;
}

/**
 * Where a worker's columns lie in its io words: offsets and sizes in words of 4 bytes. A function needs only the
 * entries that it uses. in: written by JavaScript; out: by the addon.
 */
export interface IoLayout {
  /** Lanes of the rx columns, 1 to 65536. */
  burst: number;
  /** Rows of the msg columns, 1 to 65536. */
  messages: number;
  /** Rows of the ext columns, 1 to 65536. */
  extents: number;
  /** [burst] in: byte offset in the arena where the frame goes. */
  rxAt: number;
  /** [burst] in: bytes of room there. */
  rxCap: number;
  /** [burst] out: bytes of the frame, without virtio-net header. */
  rxLen: number;
  /** [burst] out: segment size of a UDP_GRO super-datagram, 0 for a plain one. */
  rxGso: number;
  /** [burst * 4] out: source address, network order as raw bytes; IPv4 as ::ffff:a.b.c.d. */
  rxSrc: number;
  /** [burst] out: source port, host order. */
  rxPort: number;
  /** [burst] out: outer TOS or traffic class, -1 unknown. */
  rxTos: number;
  /** [burst] out: RX_TRUNCATED. */
  rxFlags: number;
  /** [messages] in: index of the first extent. */
  msgFirst: number;
  /** [messages] in: extents, 1 to 1024. */
  msgCount: number;
  /** [messages] in: row in the destination table. */
  msgDest: number;
  /** [messages] in: index into the sockets bound. */
  msgSocket: number;
  /** [messages] in: bytes of a segment for UDP_SEGMENT, 0 = one datagram. */
  msgGso: number;
  /** [messages] in: TOS or traffic class, -1 = the socket's own. */
  msgTos: number;
  /** [messages] out: bytes sent or -errno. */
  msgResult: number;
  /** [extents] in: byte offset in the arena. */
  extAt: number;
  /** [extents] in: bytes. */
  extLen: number;
  /** [4] out, by every wait: seconds, milliseconds (wrapping at 2^31), and a double of seconds at clock + 2. */
  clock: number;
  /** [16] out: see COUNTER_*. */
  counters: number;
}

/** Words of `counters`. */
export const COUNTER_RXQ_OVFL = 0;
export const COUNTER_GSO_FALLBACKS = 1;
export const COUNTER_LAST_ERRNO = 2;

/** Bit of rxFlags: the frame or datagram was longer than its place and has been cut. */
export const RX_TRUNCATED = 1;

/** Bytes from one virtio-net header to the next, from vnetAt on. */
export const VNET_STRIDE = 16;

/** Words of a row in the destination table: family 4|6, port, four address words as raw bytes (IPv4 in the first), scope id, 0. */
export const DESTINATION_WORDS = 8;

/** The id of a doorbell: drained by the wait that it ends, and not reported. */
export const DOORBELL_ID = -1;

/** Bits of an epoll event mask. */
export const EPOLLIN = 0x001;
export const EPOLLOUT = 0x004;

/** Byte arrays and word arrays that a binding holds on to; anything but a SharedArrayBuffer beneath is a TypeError. */
export type ArenaBytes = Uint8Array;
export type IoWords = Int32Array;

/**
 * Reads up to `max` frames, until `byteLimit` bytes have been read or the device has no more.
 * Returns the frames read, 0 if there were none, or -errno if the first read failed.
 */
export type TapRx = (max: number, byteLimit: number) => number;

/**
 * Writes the messages first to first + n, one writev each. Returns how many went; msgResult says which. A device that
 * is congested leaves that message and the rest at -EAGAIN (-11).
 */
export type TapTx = (first: number, n: number) => number;

/** Receives up to `max` datagrams in one system call. Pending ICMP errors are skipped. Returns a count or -errno. */
export type UdpRx = (max: number) => number;

/**
 * Sends the messages first to first + n. Returns how many went; msgResult says which. A full socket or device leaves
 * that message and the rest at -EAGAIN (-11); any other error stays with its own message. Where the kernel refuses
 * UDP_SEGMENT the message goes as single datagrams, counted in counters[1], and so do later ones of this binding.
 */
export type UdpTx = (first: number, n: number) => number;

/**
 * Reads ICMP errors of the sockets, up to `burst`: rxSrc and rxPort the destination that was meant, rxLen the errno,
 * rxGso the next hop's MTU (EMSGSIZE), rxFlags the origin (1 local, 2 ICMP, 3 ICMPv6). Returns their number.
 */
export type ErrorQueue = () => number;

export interface Poll {
  /** Watches a descriptor under an id (0 or more, or DOORBELL_ID); events default EPOLLIN. EEXIST, EBADF, EPERM. */
  add(fd: number, id: number, events?: number): void;
  /** ENOENT, EBADF. */
  remove(fd: number): void;
  /**
   * Waits until a descriptor is ready, the doorbell rings, or the time is over: microseconds, at most 1 s, 0 = look
   * only. Writes the ids that are ready to io[readyAt..] and the clock words, returns how many; -EBADF when closed.
   * A descriptor in error (a deleted device, a pending ICMP error) stays ready until it is read or removed.
   */
  wait(timeoutUs: number): number;
  close(): void;
}

export interface Tun {
  version(): string;
  probe(): Probe;

  /** ENODEV, EEXIST, EBUSY (single queue, attached already), EPERM, EINVAL (a device of another kind). */
  openTap(request: TapRequest): Tap;

  linkGet(query: { netns?: string; name: string }): Link | null;
  linkList(query?: { netns?: string }): Link[];
  linkSet(change: LinkChange): void;
  linkDelete(query: { netns?: string; name: string }): void;
  /** '10.0.0.1/24' or IPv6 likewise; noDad: usable at once, without duplicate detection. The same again is no error. */
  addressAdd(change: { netns?: string; name: string; address: string; noDad?: boolean }): void;
  addressList(query?: { netns?: string }): InterfaceAddress[];

  /** EADDRINUSE, EADDRNOTAVAIL, ENODEV (device), EPERM. */
  udpOpen(request: UdpRequest): UdpSocket;

  /** A doorbell: non-blocking, closed by exec. */
  eventfd(): number;
  /** Rings a doorbell from any thread; 0 or -errno. */
  wake(fd: number): number;
  /** Silences a doorbell; 0 or -errno. */
  drain(fd: number): number;
  /** EBADF when it is closed already. The number belongs to the process: closing it twice may hit another's. */
  close(fd: number): void;
  /** CLOCK_MONOTONIC in nanoseconds, the clock of the poll's words and of process.hrtime. */
  monotonicNs(): number;
  /** Ties the calling thread to one CPU. EINVAL when there is no such CPU. */
  setAffinity(cpu: number): void;
  /** The calling thread's id, as top -H shows it. */
  gettid(): number;

  /** Frame i's virtio-net header goes to arena[vnetAt + VNET_STRIDE * i], the frame to rxAt[i]. */
  bindTapRx(arena: ArenaBytes, io: IoWords, layout: IoLayout, fd: number, vnetAt: number, vnetHdrLen: number): TapRx;
  bindTapTx(arena: ArenaBytes, io: IoWords, layout: IoLayout, fd: number): TapTx;
  bindUdpRx(arena: ArenaBytes, io: IoWords, layout: IoLayout, fd: number): UdpRx;
  bindUdpTx(
    arena: ArenaBytes,
    io: IoWords,
    layout: IoLayout,
    fds: ArrayLike<number>,
    destinations: IoWords,
  ): UdpTx;
  bindErrorQueue(arena: ArenaBytes | undefined, io: IoWords, layout: IoLayout, fds: ArrayLike<number>): ErrorQueue;
  bindPoll(io: IoWords, layout: Pick<IoLayout, 'clock'>, readyAt: number, readyMax: number): Poll;
}

// The same way up from src/native and from dist/native.
const ADDON = '../../native/tun/weft_tun.node';

let loaded: Tun | undefined;

/** The addon, loaded at the first call. One Error that says how to build it if it is not there. */
export function tun(): Tun {
  loaded ??= load();
  return loaded;
}

/** Whether the addon has been built. */
export function isTunBuilt(): boolean {
  try {
    tun();
    return true;
  } catch {
    return false;
  }
}

function load(): Tun {
  const require = createRequire(import.meta.url);
  try {
    return require(ADDON) as Tun;
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === 'MODULE_NOT_FOUND';
    const what = missing ? 'The native addon is not built' : 'The native addon does not load';
    throw new Error(`${what}: npm run build:native (it needs Rust, see README.md)`, { cause });
  }
}
