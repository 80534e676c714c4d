import type { TunnelKind, TunnelPlan } from '../tunnel/tunnel.js';

/**
 * The plan: what a node does, as a plain value. `control/` makes it from the configuration, the supervisor posts it to every worker,
 * the worker compiles it into flat tables between two turns. Ids are small integers that stay with their entity for its whole life
 * (they index counter rows and are the values of the MAC table); id 0 of ports, peers and networks is never given out.
 */
export interface Plan {
  /** Grows by one with every change; workers acknowledge it. */
  generation: number;
  node: string;
  workers: number;
  /** CPU of each worker; empty or absent: wherever the kernel likes. */
  cpus?: number[];
  /** Microseconds that a worker polls without sleeping after the last packet. */
  busyPollUs: number;
  underlays: UnderlayPlan[];
  networks: NetworkPlan[];
  ports: PortPlan[];
  peers: PeerPlan[];
  statics: StaticMacPlan[];
  staticNeighbours: StaticNeighbourPlan[];
  routes: RoutePlan[];
  /** Next hops of frame underlays whose MAC is found while the node runs; absent: none. */
  nextHops?: NextHopPlan[];
}

/** A neighbour on the link of a frame underlay: a peer, or the router on the way to some. */
export interface NextHopPlan {
  /** Row in the table of next hops (underlay/nextHops.ts). */
  id: number;
  underlay: number;
  address: string;
}

/**
 * A carrier: one transport of a configured underlay. An underlay over sockets has one for each UDP port and each IP protocol that its
 * networks use; a frame underlay is one carrier for everything.
 */
export interface UnderlayPlan {
  id: number;
  /** Unique: the underlay's name, with the kind of tunnel behind it where it has several carriers. */
  name: string;
  /** Name of the configured underlay. */
  underlay: string;
  /** `udp`, `raw`: kernel sockets carry tunnel header and frame. `frame`: whole outer frames through `device`. */
  kind: 'udp' | 'raw' | 'frame';
  /** What its sockets carry; `none` for a frame underlay, which tells kinds apart by itself. */
  tunnel: TunnelKind;
  /** Own VTEP address, text form, IPv4 or IPv6. */
  address: string;
  /** Interface that the sockets are bound to, or that carries the address. */
  device: string | null;
  /** Listening port; 0 for raw sockets. */
  udpPort: number;
  /** UDP checksum on transmit. Off costs UDP_SEGMENT here and UDP_GRO at the receiver. */
  checksum: boolean;
  /** Source ports of the node: first port and how many; first 0 lets the kernel choose. */
  sourcePortFirst: number;
  sourcePortCount: number;
  /** DSCP of outer packets, 0..63, or -1 to copy the inner one. ECN always follows RFC 6040. */
  dscp: number;
  /** TTL or hop limit of outer packets, 0 to copy the inner one (frame underlays). */
  ttl: number;
  /** Deliver packets with unfinished inner checksums: right between namespaces of one machine, and where the receiving kernel joined them. */
  deliverOffloadLeak: boolean;
  /** What the kernel is asked for: UDP_SEGMENT, UDP_GRO. Of no meaning but for UDP. */
  offloads: { segment: boolean; gro: boolean };
  /** Frame underlays: the device, own MAC, and link-layer addresses of next hops by IP address. */
  frame: FrameDevicePlan | null;
}

export interface FrameDevicePlan {
  kind: 'memory' | 'pcap' | 'dpdk';
  /** Key of a memory device; for pcap the input and output files (null: none). */
  name: string;
  input: string | null;
  output: string | null;
  /** dpdk */
  dpdk?: DpdkPlan;
  mac: string;
  /** MACs of next hops that are configured; they win. */
  neighbours: Record<string, string>;
  /**
   * Who finds the others, and answers for the node's address: weft by ARP and neighbour discovery, or the kernel, an interface of which has the
   * address. Absent: nobody.
   */
  resolver?: { by: 'weft' } | { by: 'kernel'; device: string };
  /**
   * 0: what comes in is for the networks of the plan. More: tunnels of every kind and id are taken off, nested to this depth, and all of it goes
   * to the one network of this underlay (mode xconnect).
   */
  popDepth: number;
}

export interface NetworkPlan {
  id: number;
  name: string;
  /** l2: learned MACs. l3: routes, bare IP packets. xconnect: everything from the one port to the one peer and back, or between two ports. */
  mode: 'l2' | 'l3' | 'xconnect';
  tunnel: TunnelPlan;
  /** Network whose tables it shares: its own id, or that of the first network of its bridge. */
  domain: number;
  /** l3 over a tunnel that carries Ethernet: own MAC inside of the tunnel. */
  vtepMac: string | null;
  /** Ids of its carriers, one for each family of addresses at most; empty for a network of local ports only. */
  underlays: number[];
  /** Largest inner packet (bytes behind the Ethernet header). */
  mtu: number;
  /** The MTU follows the underlay's device. */
  isMtuAuto?: boolean;
  /** Largest MTU that its underlays carry; null for a network of local ports only. */
  mtuMost?: number | null;
  /** IPv4 packets without DF that do not fit are cut into fragments; without it they are dropped. */
  fragment?: boolean;
  /** The MSS of TCP's SYNs is lowered to what fits. */
  mssClamp?: boolean;
  ageingSec: number;
  macLimit: number;
  /** l2: IP neighbours to learn at most, for which the node answers ARP and neighbour discovery; 0: it answers for nobody. */
  neighbourLimit: number;
  /** Broadcast, multicast and unknown unicast packets a second, over all workers; 0 = no limit. */
  broadcastPps: number;
  /** Accept packets from VTEPs that are not configured. */
  acceptUnknownPeers: boolean;
  /** Heartbeats of other weft nodes end here; without it they are dropped. */
  heartbeats?: boolean;
  /** Some of its peers are followed to other addresses, by heartbeats. */
  roams?: boolean;
}

export interface PortPlan {
  id: number;
  name: string;
  network: number;
  kind: 'tap' | 'tun' | 'memory' | 'pcap' | 'dpdk' | 'vhost-user';
  mtu: number;
  /** tap and tun */
  tap: TapPlan | null;
  /** pcap: input and output files. */
  pcap: { input: string | null; output: string | null } | null;
  /** dpdk and vhost-user */
  dpdk?: DpdkPlan;
}

/** A device of DPDK. */
export interface DpdkPlan {
  /** Name of the device and what its driver is to know. */
  devargs: string;
  queues: number;
  /** Superframes and unfinished checksums, as far as the device takes them. */
  offloads: boolean;
  /** vhost-user, this side listening: its socket. */
  socket: { path: string; owner: number | null; group: number | null; mode: number | null } | null;
}

/** A TAP or TUN device. */
export interface TapPlan {
  /** Interface name. */
  device: string;
  create: boolean;
  /** Path of the network namespace that holds the device, null for the node's own. */
  netns: string | null;
  addresses: string[];
  /** tap */
  mac: string | null;
  queues: number;
  /** The device can get more queues, and give them back, while it stands. */
  multiQueue: boolean;
  owner: number | null;
  group: number | null;
  /** tun: prefixes that the host reaches through the device. */
  hostRoutes: string[];
  /** What the device is asked for. */
  offloads: { vnetHeader: boolean; tso: boolean; uso: boolean; gsoMaxSize: boolean };
}

export interface PeerPlan {
  id: number;
  network: number;
  underlay: number;
  /** As configured. */
  address: string;
  udpPort: number;
  /** Where a peer that roams is now, when it is not there. */
  at?: { address: string; udpPort: number };
  /** l3 over a tunnel that carries Ethernet: the peer's MAC inside of the tunnel. */
  mac: string | null;
  /** l3: on the underlay's own link; gets plain routed packets instead of the tunnel. */
  direct: boolean;
  /** Learned from traffic of a network that accepts unknown peers. */
  dynamic: boolean;
  /** Largest inner packet, less than that of the network where the path takes less; absent: that of the network. */
  mtu?: number;
  /** Frame underlays: the router on the way to it; absent: it is on the link. */
  via?: string;
  /** Frame underlays: id of its next hop; absent: its MAC is configured, or not known. */
  nextHop?: number;
}

export interface StaticMacPlan {
  /** Domain of the network. */
  network: number;
  mac: string;
  /** Exactly one of the two is not 0. */
  port: number;
  peer: number;
}

export interface StaticNeighbourPlan {
  /** Domain of the network. */
  network: number;
  /** Text form, IPv4 or IPv6. */
  address: string;
  mac: string;
  /** IPv6: what the R flag of advertisements says (RFC 4861 section 4.4). */
  isRouter: boolean;
}

export interface RoutePlan {
  /** Domain of the network. */
  network: number;
  /** '10.42.2.0/24' or IPv6 likewise; host bits are zero. */
  prefix: string;
  /** Exactly one of the two is not 0. */
  port: number;
  peer: number;
}

/** What the control thread opened for one worker: descriptors belong to the process and survive the worker. */
export interface WorkerDevices {
  ports: TapQueue[];
  underlays: CarrierSockets[];
  /** Absent: none. */
  dpdk?: DpdkQueues[];
}

/** What a worker has of a device of DPDK. */
export interface DpdkQueues {
  /** Port or frame underlay of the plan; the other is 0. */
  port: number;
  underlay: number;
  /** The pools (layFrames). */
  frames: number;
  /** Number of the device in DPDK. */
  device: number;
  /** Queues that this worker reads; none when others read for it. */
  rxQueues: number[];
  txQueue: number;
  /** TUN_F_* bits: what the device takes from us uncut or unfinished. */
  offloads: number;
  /** The device sends frames of several pieces. */
  chains: boolean;
  /** How the worker waits for frames. */
  idle: DpdkIdle;
  /** `interrupt`: descriptors that end its sleep. */
  wakes: number[];
}

/** `interrupt`: it sleeps until the device says that there is something. `sleep`: it looks now and then. `busy`: it never sleeps. */
export type DpdkIdle = 'interrupt' | 'sleep' | 'busy';

export interface TapQueue {
  port: number;
  /** Queue that this worker reads, -1 when another worker reads for it. */
  rxFd: number;
  /** Queue that this worker writes. */
  txFd: number;
  vnetHdrLen: number;
  /** Accepted TUN_F_* mask: what the device takes from us uncut or unfinished. */
  offloads: number;
}

/** Sockets of one carrier. */
export interface CarrierSockets {
  underlay: number;
  /** Receiving sockets. UDP: one. Raw: one for each IP protocol; none for workers that do not receive. */
  rxFds: number[];
  /** UDP: one sending socket per source port. Raw: one for each IP protocol, in the order of `protocols`. */
  txFds: number[];
  /** Raw: IP protocols of the sockets: [47] for gre, [4, 41] for ipip. UDP: empty. */
  protocols: number[];
  gro: boolean;
  segment: boolean;
}
