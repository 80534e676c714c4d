/**
 * The documents that a node gives about itself: plain JSON values, the same from the library, the control API and `--json`.
 *
 * Times are ages or durations in seconds. Packets are wire packets: a superframe counts its segments. Names are those of the
 * configuration.
 */
import type { Account } from '../packet/counters.js';
import type { TunnelKind } from '../tunnel/tunnel.js';
import type { WorkerState } from './dataplane.js';
import type { MachineDocument } from './machineDocument.js';

export type { AgreedFeatures, MachineDocument } from './machineDocument.js';

/** Why a faster way is not in use, and what would bring it back. */
export interface PathReason {
  /** What is missing: `tso`, `uso`, `vnet-header`, `udp-segment`, `udp-gro`, `gso-max-size`, `steering`, `buffers`, `device`. */
  feature: string;
  reason: string;
  /** What the user can do; null when nothing. */
  remedy: string | null;
}

/**
 * The way that packets take through a port or an underlay.
 * - `superframes`: frames of up to 64 KB cross uncut, the kernel segments and coalesces
 * - `frames`: one packet a frame, with unfinished checksums left to the other side where it takes them
 * - `plain`: one packet a frame, checksums finished in weft
 * - `files`, `memory`: no kernel device
 */
export type PathUse = 'superframes' | 'frames' | 'plain' | 'files' | 'memory';

export interface PathDocument {
  send: PathUse;
  receive: PathUse;
  /** Empty when the fastest way is in use. */
  reasons: PathReason[];
}

export interface StatusDocument {
  node: {
    name: string;
    version: string;
    pid: number;
    state: 'starting' | 'running' | 'stopping' | 'stopped';
    uptimeSec: number;
    /** Path of the control socket, null without one. */
    socket: string | null;
    /** Grows by one with every change of ports or peers. */
    generation: number;
  };
  workers: WorkerState[];
  /** Slots of the arena over all workers. */
  slots: { total: number; free: number; held: number };
  underlays: UnderlayDocument[];
  networks: NetworkDocument[];
  ports: PortDocument[];
  peers: PeerDocument[];
  account: Account;
  /** What wants attention, as sentences. */
  hints: Hint[];
}

export interface Hint {
  object: string;
  message: string;
  remedy: string;
}

/** State of a kernel device now. `gone`: it was removed, or another one has its name. */
export type DeviceState = 'up' | 'down' | 'gone';

/** Something that has gone from under a port or an underlay. The node goes on without it, and has it back without a restart. */
export interface LossDocument {
  /** `address`: that of an underlay. `namespace`: it is gone, or another one has its path. `server`: nobody has taken the connection of a memif client. */
  what: 'device' | 'namespace' | 'address' | 'server';
  /** `device eth0 is gone` */
  message: string;
  sinceSec: number;
  /** How often it was tried to have it back. */
  attempts: number;
  /** Seconds until it is tried next; earlier when something changes there. 0 while it waits for somebody else. */
  nextAttemptSec: number;
  /** Why the last attempt failed; null when it did not. */
  error: string | null;
  remedy: string;
}

/** One transport of an underlay. */
export interface UnderlayDocument {
  /** Name of the carrier: that of the underlay, with the kind of tunnel behind it where it is not VXLAN on the underlay's port. */
  name: string;
  /** Name in the configuration. */
  underlay: string;
  kind: 'udp' | 'raw' | 'frame';
  /** `udp/6081`, `ip/47`, `ip/4+41`; `frames` for a frame underlay, which takes all. */
  transport: string;
  address: string;
  udpPort: number;
  /** Interface that carries the address; null when unknown or for frame underlays. */
  device: string | null;
  deviceMtu: number | null;
  deviceState: DeviceState | null;
  /** Null while everything is there. */
  loss: LossDocument | null;
  checksum: boolean;
  sourcePorts: number[];
  path: PathDocument;
  dropped: number;
  missed: number;
}

export interface NetworkDocument {
  name: string;
  mode: 'l2' | 'l3' | 'xconnect';
  /** Null for a network of local ports only. */
  encapsulation: Exclude<TunnelKind, 'none'> | null;
  /** VNI or GRE key; null without. */
  id: number | null;
  /** Names of its carriers, one for each family of addresses at most; empty for a network of local ports only. */
  underlays: string[];
  /** Own MAC inside of the tunnel, for VXLAN networks of mode l3. */
  vtepMac: string | null;
  /** Names of the networks that it is bridged with. */
  bridgedWith: string[];
  mtu: number;
  /** The MTU follows the underlay's device. */
  mtuAuto: boolean;
  /** Largest MTU that its underlays carry now; null without one over sockets. */
  mtuMost: number | null;
  ports: number;
  peers: number;
  macs: number;
  macLimit: number;
  /** IP neighbours that the node knows, configured ones included. */
  neighbours: number;
  /** Most that it learns; 0: it answers neither ARP nor neighbour discovery. */
  neighbourLimit: number;
  /** Prefixes that lead to its ports and peers. */
  routes: number;
}

export interface PortDocument {
  name: string;
  network: string;
  type: 'tap' | 'tun' | 'memory' | 'pcap' | 'dpdk' | 'vhost-user';
  mtu: number;
  device: string | null;
  netns: string | null;
  /** Null for ports without a kernel device. */
  deviceState: DeviceState | null;
  /** Null while everything is there. */
  loss: LossDocument | null;
  mac: string | null;
  /** weft made the device and removes it. */
  created: boolean;
  queues: number;
  /** Ports over DPDK: queues that the machine behind a vhost-user port has enabled, of other devices all. Null for other ports. */
  queuesEnabled: number | null;
  /** Ports over DPDK: how workers wait for frames (`node.dpdk.idle`, and what the device can do). Null for other ports. */
  idle: 'interrupt' | 'sleep' | 'busy' | null;
  /** Null for ports that are not of type vhost-user. */
  machine: MachineDocument | null;
  /** Offloads in force on its device: `checksum`, `tso`, `uso` (superframes of TCP, of UDP). Empty without a device or a virtio-net header. */
  offloads: string[];
  /** Networks of mode l3: what lies behind the port. */
  prefixes: string[];
  path: PathDocument;
  rxPackets: number;
  txPackets: number;
  dropped: number;
  /** Lost in the full queue of the device, before weft could read them. */
  missed: number;
}

/** A path that takes less than the underlay's device. */
export interface PathMtuDocument {
  /** Largest outer packet, with its IP header. */
  bytes: number;
  /** Who said so: a router on the way (icmp), this machine's kernel (emsgsize), or padded heartbeats that did not arrive (probe). */
  why: 'icmp' | 'emsgsize' | 'probe';
  /** Seconds until it is tried anew. */
  expiresInSec: number;
}

/** What heartbeats say about a peer. */
export interface LivenessDocument {
  /** unknown: none was answered yet, and it is too early to say more. */
  state: 'unknown' | 'up' | 'down';
  /** Seconds since the state began. */
  sinceSec: number;
  /** Seconds since the last answer, null when none came yet. */
  answeredSec: number | null;
  /** Round-trip time in microseconds, smoothed; null without an answer. */
  rttUs: number | null;
  rttLeastUs: number | null;
  sent: number;
  /** Heartbeats that got no answer in time. */
  lost: number;
  /** Share of the last 64 that was lost, 0 to 1. */
  loss: number;
  /** Where a peer that roams is now; null while it is where it is configured. */
  at: { address: string; udpPort: number } | null;
  /** Heartbeats from its address that were written with another key, since its last answer. */
  refused: number;
  /** Largest outer packet that gets to it, where larger ones vanish in silence; null without such a hole. */
  blackHole: number | null;
}

/** The neighbour on the link of a frame underlay that gets the packets for a peer: the peer itself, or a router. */
export interface NextHopDocument {
  address: string;
  /** Null while it is not known; packets to the peer are dropped then (`no-neighbour`). */
  mac: string | null;
  /**
   * `static`: configured. `reachable`: it answered of late. `stale`: its MAC is used, and it is asked whether it is right. `resolving`, `failed`:
   * it has not answered yet, or not for long. `unknown`: no MAC is configured, and none is looked for.
   */
  state: 'static' | 'reachable' | 'stale' | 'resolving' | 'failed' | 'unknown';
  /** Who finds it: `weft`, or the `kernel`, which has the underlay's address; null where it is configured. */
  by: 'weft' | 'kernel' | null;
}

export interface PeerDocument {
  network: string;
  underlay: string;
  address: string;
  /** 0 for tunnels that are IP protocols of their own. */
  udpPort: number;
  /** Networks of mode l3: what lies behind the peer. */
  prefixes: string[];
  /** It gets plain routed packets instead of the tunnel. */
  direct: boolean;
  /** Its MAC inside of the tunnel, in VXLAN networks of mode l3. */
  mac: string | null;
  /** Learned from traffic (`unknownPeers: accept`). */
  dynamic: boolean;
  /** Largest inner packet for it in bytes: that of the network, or less where the path takes less. */
  mtu: number;
  /** What is known of the path to it, null while it takes what its device takes. */
  pathMtu: PathMtuDocument | null;
  /** Behind a frame underlay: whose MAC its packets carry; null over sockets, where the kernel knows. */
  nextHop: NextHopDocument | null;
  /** Seconds since its last packet, null when none came yet. */
  lastHeardSec: number | null;
  /** Null in networks without `heartbeat`. */
  liveness: LivenessDocument | null;
  rxPackets: number;
  txPackets: number;
  /** Packets to it that the kernel did not take. */
  failedSends: number;
  /** ICMP errors that came back about packets to it: nobody listens there, or the way is closed. */
  icmpErrors: number;
  /** Name of the last error of a send, such as EHOSTUNREACH; null when none failed. */
  lastError: string | null;
  dropped: number;
}

/** An IP address of a network, and who has it. */
export interface NeighbourDocument {
  network: string;
  address: string;
  mac: string;
  /** Name of the port, or address of the peer, that it was heard behind; both null for a static one that was not heard yet. */
  port: string | null;
  peer: string | null;
  static: boolean;
  /** IPv6: whether it advertised itself as a router; null where it has not advertised itself, and for IPv4. */
  router: boolean | null;
  /** Null for a static neighbour. */
  expiresInSec: number | null;
}

export interface MacDocument {
  network: string;
  mac: string;
  /** Name of the port, null when the station is behind a peer. */
  port: string | null;
  /** Address of the peer, null when the station is behind a port. */
  peer: string | null;
  static: boolean;
  /** Seconds until it is forgotten; null for static entries. */
  expiresInSec: number | null;
  /** It moved too often and is held where it is for a while. */
  held: boolean;
}

/** One route of a network of mode l3. */
export interface RouteDocument {
  /** Network of the port or peer; bridged networks share their routes. */
  network: string;
  prefix: string;
  /** Name of the port, null when the prefix is behind a peer. */
  port: string | null;
  /** Address of the peer, null when the prefix is behind a port. */
  peer: string | null;
  /** The peer gets plain routed packets instead of the tunnel. */
  direct: boolean;
}

/** Where packets to an address go. */
export interface RouteAnswer {
  network: string;
  address: string;
  /** The longest prefix that has the address in it, null when there is none. */
  route: RouteDocument | null;
}

/** What `weft reload` changed, or would change. */
export interface ReloadDocument {
  /** False for a dry run. */
  applied: boolean;
  /** Generation of the node's plan now. */
  generation: number;
  /** Empty when the node does already what the configuration says. */
  changes: ChangeDocument[];
  /** Settings that a running node cannot take. A reload with any of them is refused as a whole; a dry run lists them. */
  restart: RestartDocument[];
}

/** One part of the configuration that a reload adds, removes or changes. Everything else goes on untouched. */
export interface ChangeDocument {
  action: 'added' | 'removed' | 'changed';
  kind: 'node' | 'underlay' | 'network' | 'port' | 'peer' | 'static MAC' | 'bridge';
  name: string;
  /** Of ports, peers and static MACs. */
  network: string | null;
  /** Empty unless it was changed. */
  settings: SettingChange[];
  /**
   * `reopened`: sockets of the underlay were opened anew, those that receive only when address, device or port differ.
   * `recreated`: the device of the port was made anew. Null: neither, what changed was set in place.
   */
  effect: 'reopened' | 'recreated' | null;
}

export interface SettingChange {
  /** Key in the configuration: `mtu`, `peers`. */
  name: string;
  /** Values before and after; null where there was or is none. */
  from: unknown;
  to: unknown;
}

/** A setting that only a node which is started with it has. */
export interface RestartDocument {
  /** Path in the configuration: `node.workers`. */
  setting: string;
  from: unknown;
  to: unknown;
  why: string;
}

export interface DropsDocument {
  /** Dropped packets of the node. */
  total: number;
  /** Most packets first. */
  reasons: DropDocument[];
  /** Losses before weft saw the packet (full socket buffers, full queues of devices); not part of the account. */
  missed: number;
}

export interface DropDocument {
  reason: string;
  text: string;
  packets: number;
  /** What the packets are charged to; `removed` stands for ports and peers that are gone. */
  where: { kind: 'port' | 'peer' | 'underlay' | 'removed'; name: string; packets: number }[];
}

/** Counters of one entity since it was added. */
export interface CountersDocument {
  rxPackets: number;
  rxBytes: number;
  txPackets: number;
  txBytes: number;
  rxSuperframes: number;
  txSuperframes: number;
  copied: number;
  made: number;
  consumed: number;
  missed: number;
  learnRefused: number;
  macMoves: number;
  /** ICMP errors that came back about packets to a peer. */
  icmpErrors: number;
  dropped: number;
  /** By reason, only those that occurred. */
  drops: Record<string, number>;
}

export interface StatsDocument {
  account: Account;
  ports: ({ name: string; network: string } & CountersDocument)[];
  peers: ({ network: string; address: string } & CountersDocument)[];
  networks: ({ name: string } & CountersDocument)[];
  underlays: ({ name: string } & CountersDocument)[];
}
