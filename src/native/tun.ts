// The addon over TAP and TUN devices, UDP and raw sockets, poll and rtnetlink (native/tun, Rust): its types, and a lazy loader.
//
// Control functions run at set-up, may allocate, and throw: an Error with `code`, `errno` and `syscall` for a failed
// system call, a TypeError or RangeError for an argument. Functions for the turn are made by `bind...` (io.ts).

import { createRequire } from 'node:module';
import type { ArenaBytes, ErrorQueue, IoLayout, IoWords, Poll, RawRx, TapRx, TapTx, UdpRx, UdpTx } from './io.js';

export * from './io.js';

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
  /**
   * Default 'tap'. A 'tun' carries IP packets without Ethernet headers, and nothing else in front of them than the
   * virtio-net header, whose offsets count from the IP header.
   */
  kind?: 'tap' | 'tun';
  /** Descriptors to open, 1 to 256. More than one makes a multi-queue device; one that exists stays what it is. */
  queues: number;
  /** Makes a multi-queue device, which may get more queues later, also with one queue. */
  multiQueue?: boolean;
  /** Frames with a virtio-net header in front. Goes for a device that exists as well, however it was made. */
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
  /** Packets that found the queue of the device full; 0 in lists, which leave figures out. */
  txDropped: number;
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

/** rtm_protocol of the routes that routeAdd makes: `ip route` shows `proto 199`. */
export const ROUTE_PROTOCOL = 199;
/** The table that packets are routed by unless a rule says otherwise. */
export const ROUTE_TABLE_MAIN = 254;

export interface RouteChange {
  netns?: string;
  /** '10.42.2.0/24' or IPv6 likewise, no bits behind the prefix; '0.0.0.0/0' is the default route. */
  prefix: string;
  /** Wanted by routeAdd, unless via is on a device's own link. */
  device?: string;
  /** Next hop, of the family of prefix. Absent: the destinations are on the link. */
  via?: string;
  /** The next hop is on the device's link, whatever its addresses say. */
  onlink?: boolean;
  /** Default 0, over IPv6 1024. In a deletion: absent or 0 is any. */
  metric?: number;
  /** Default ROUTE_TABLE_MAIN. */
  table?: number;
}

export interface Route {
  family: 4 | 6;
  /** Of routeGet: the address alone. */
  prefix: string;
  type: 'unicast' | 'local' | 'broadcast' | 'anycast' | 'multicast' | 'blackhole' | 'unreachable' | 'prohibit' | string;
  /** Of several next hops, the first. */
  device: string | null;
  /** null: the destination is on the device's link. */
  via: string | null;
  /** Source address that packets get. routeGet always says it, routeList where the route has one. */
  source: string | null;
  metric: number;
  table: number;
  /** Who made it: 2 the kernel, 3 and 4 administrators, ROUTE_PROTOCOL routeAdd. */
  protocol: number;
}

/** A device as it is now, or was when it was deleted. */
export interface LinkEvent {
  kind: 'link';
  index: number;
  name: string;
  mac: string;
  /** Bytes. */
  mtu: number;
  /** Administratively up. */
  up: boolean;
  /** Up, with a carrier. */
  running: boolean;
  deleted: boolean;
}

/** An address that came or went. */
export interface AddressEvent {
  kind: 'address';
  /** Of the device. */
  index: number;
  address: string;
  prefixLen: number;
  deleted: boolean;
}

/** What a monitor has heard since it was read last. */
export interface MonitorNews {
  /** In their order. A device that changes its MTU or goes up and down has one for each step. */
  events: (LinkEvent | AddressEvent)[];
  /** Some route came or went. */
  routes: boolean;
  /** The kernel lost messages: everything has to be looked at again. */
  overrun: boolean;
}

export interface Neighbour {
  family: 4 | 6;
  address: string;
  /** 'aa:bb:cc:dd:ee:ff'; empty while unknown, and on devices without MAC addresses. */
  mac: string;
  device: string | null;
  state: 'none' | 'incomplete' | 'reachable' | 'stale' | 'delay' | 'probe' | 'failed' | 'noarp' | 'permanent';
}

/** What UDP and raw sockets have in common. */
export interface SocketRequest {
  netns?: string;
  family: 4 | 6;
  /** To bind to: '198.18.0.1', '::', 'fe80::1%eth0'. IPv6 sockets never take IPv4. */
  address: string;
  /** SO_BINDTODEVICE. */
  device?: string;
  /** Received TOS or traffic class in rxTos. */
  recvTos?: boolean;
  /** Bytes, past the machine's limit with CAP_NET_ADMIN; 0 or absent: the kernel's default. */
  rcvbuf?: number;
  sndbuf?: number;
  /** A filter drops all input before bind: for sockets that only send. */
  sink?: boolean;
  /** TTL or hop limit, 1 to 255. */
  ttl?: number;
  /** TOS or traffic class, 0 to 255. */
  tos?: number;
  /** Never fragmented, DF over IPv4, without regard to the kernel's path MTU (IP_PMTUDISC_PROBE). Too long: EMSGSIZE. */
  pmtudiscProbe?: boolean;
  /** ICMP errors are queued (bindErrorQueue). */
  recvErr?: boolean;
  /** Datagrams lost to a full receive buffer are counted in counters[0]. */
  rxqOvfl?: boolean;
}

export interface UdpRequest extends SocketRequest {
  /** 0: the kernel chooses one. */
  port: number;
  reusePort?: boolean;
  /** UDP_GRO: datagrams of a flow arrive merged, with their size. */
  gro?: boolean;
  /** Send without UDP checksum. Excludes UDP_SEGMENT. */
  noChecksum?: boolean;
  /** Accept datagrams without UDP checksum over IPv6 (RFC 6935); over IPv4 they always are. Default: as noChecksum. */
  acceptZeroChecksum?: boolean;
}

export interface RawRequest extends SocketRequest {
  /** IP protocol, 1 to 254: 4 IPIP, 41 6in4, 47 GRE. Every raw socket of it gets a copy of every packet for its address. */
  protocol: number;
}

export interface RawSocket {
  fd: number;
  /** Bytes as the kernel accounts them: twice what was asked for. */
  rcvbuf: number;
  sndbuf: number;
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

export interface Tun {
  version(): string;
  probe(): Probe;

  /** ENODEV, EEXIST, EBUSY (single queue, attached already), EPERM, EINVAL (a device of another kind). */
  openTap(request: TapRequest): Tap;
  /**
   * Makes the kernel choose among the first `queues` of a device by the packet's flow alone: TCP and UDP by addresses and ports, other IP by
   * addresses, the rest on the first. 0: as the kernel likes, by where the flow was written last. EPERM without CAP_BPF, EINVAL before Linux 4.16.
   */
  tapSteer(fd: number, queues: number): void;

  linkGet(query: { netns?: string; name: string }): Link | null;
  linkList(query?: { netns?: string }): Link[];
  linkSet(change: LinkChange): void;
  linkDelete(query: { netns?: string; name: string }): void;
  /** '10.0.0.1/24' or IPv6 likewise; noDad: usable at once, without duplicate detection. The same again is no error. */
  addressAdd(change: { netns?: string; name: string; address: string; noDad?: boolean }): void;
  /** EADDRNOTAVAIL: the device has it not, or with another prefix length. */
  addressDelete(change: { netns?: string; name: string; address: string }): void;
  addressList(query?: { netns?: string }): InterfaceAddress[];

  /** EEXIST (prefix, metric and table are taken), ENETUNREACH or EHOSTUNREACH (via), ENETDOWN, ENODEV, EPERM. */
  routeAdd(change: RouteChange): void;
  /** Deletes a route that routeAdd made and nobody else's. ESRCH: there is none. */
  routeDelete(change: RouteChange): void;
  /** IPv4, then IPv6. table: default ROUTE_TABLE_MAIN, 0 for all. */
  routeList(query?: { netns?: string; table?: number }): Route[];
  /** The way that a packet to an address takes now. ENETUNREACH, EHOSTUNREACH, EACCES (prohibit), EINVAL (blackhole). */
  routeGet(query: { netns?: string; address: string }): Route;
  /** Has a neighbour asked for, or asked whether it is still there, as a packet for it would. */
  neighbourUse(neighbour: { netns?: string; device: string; address: string }): void;
  neighbourList(query?: { netns?: string; device?: string }): Neighbour[];

  /** A descriptor that hears of devices, addresses and routes of a namespace, which it keeps alive until it is closed. */
  monitorOpen(query?: { netns?: string }): number;
  /** Never blocks. At most 1024 messages a call; the rest waits for the next. EBADF, ENOTSOCK. */
  monitorRead(fd: number): MonitorNews;

  /**
   * One datagram to a service manager; `socket` as in $NOTIFY_SOCKET: a path, or `@name` for an abstract one. Never waits. ENOENT and
   * ECONNREFUSED: nobody listens; EAGAIN: the manager does not read.
   */
  sdNotify(notice: { socket: string; message: string }): void;

  /** EADDRINUSE, EADDRNOTAVAIL, ENODEV (device), EPERM. */
  udpOpen(request: UdpRequest): UdpSocket;
  /**
   * Makes the kernel choose among some sockets of an SO_REUSEPORT group by the sender's address and port alone. `sockets`: their places in the group,
   * from 0: in the order in which they were bound, but the place of one that was closed has been taken by the last. Linux 4.5 and newer.
   */
  udpSteer(fd: number, sockets: readonly number[]): void;
  /** EADDRNOTAVAIL, ENODEV (device), EPERM (CAP_NET_RAW). bindUdpTx and bindErrorQueue take raw sockets as well. */
  rawOpen(request: RawRequest): RawSocket;

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
  /** Ties the calling thread to these CPUs. EINVAL when there is none of them, or they are not this process's (cpuset). */
  setAffinity(cpus: ArrayLike<number>): void;
  /** CPUs that the calling thread may run on. */
  affinity(): number[];
  /** The calling thread's id, as top -H shows it. */
  gettid(): number;

  /**
   * Frees what a bound function holds, hundreds of kilobytes for a sender; called again, it does nothing. Node would free it in the event
   * loop, which a worker that turns never reaches.
   */
  unbind(bound: (...numbers: never[]) => number): void;
  /** Frame i's virtio-net header goes to arena[vnetAt + VNET_STRIDE * i], the frame to rxAt[i]. */
  bindTapRx(arena: ArenaBytes, io: IoWords, layout: IoLayout, fd: number, vnetAt: number, vnetHdrLen: number): TapRx;
  bindTapTx(arena: ArenaBytes, io: IoWords, layout: IoLayout, fd: number): TapTx;
  bindUdpRx(arena: ArenaBytes, io: IoWords, layout: IoLayout, fd: number): UdpRx;
  /** EBADF, EPROTOTYPE (no raw socket). */
  bindRawRx(arena: ArenaBytes, io: IoWords, layout: IoLayout, fd: number): RawRx;
  bindUdpTx(arena: ArenaBytes, io: IoWords, layout: IoLayout, fds: ArrayLike<number>, destinations: IoWords): UdpTx;
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
