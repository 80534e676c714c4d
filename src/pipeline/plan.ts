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
  /** Microseconds that a worker polls without sleeping after the last packet. */
  busyPollUs: number;
  underlays: UnderlayPlan[];
  networks: NetworkPlan[];
  ports: PortPlan[];
  peers: PeerPlan[];
  statics: StaticMacPlan[];
}

export interface UnderlayPlan {
  id: number;
  name: string;
  /** `udp`: kernel sockets carry tunnel header and frame. `frame`: whole outer frames through `device`. */
  kind: 'udp' | 'frame';
  /** Own VTEP address, text form. */
  address: string;
  /** Interface that the sockets are bound to, or that carries the address. */
  device: string | null;
  udpPort: number;
  /** UDP checksum on transmit. Off costs UDP_SEGMENT here and UDP_GRO at the receiver. */
  checksum: boolean;
  /** Source ports of the node: first port and how many; first 0 lets the kernel choose. */
  sourcePortFirst: number;
  sourcePortCount: number;
  /** DSCP of outer packets, 0..63, or -1 to copy the inner one. ECN always follows RFC 6040. */
  dscp: number;
  ttl: number;
  /** Deliver packets with unfinished inner checksums (right between namespaces of one machine only). */
  deliverOffloadLeak: boolean;
  /** Frame underlays: the device, own MAC, and link-layer addresses of next hops by IP address. */
  frame: FrameDevicePlan | null;
}

export interface FrameDevicePlan {
  kind: 'memory' | 'pcap';
  /** Key of a memory device; for pcap the input and output files (null: none). */
  name: string;
  input: string | null;
  output: string | null;
  mac: string;
  neighbours: Record<string, string>;
}

export interface NetworkPlan {
  id: number;
  name: string;
  /** 24 bits. */
  vni: number;
  /** Underlay id, or 0 for a network of local ports only. */
  underlay: number;
  /** Largest inner packet (bytes behind the Ethernet header). */
  mtu: number;
  ageingSec: number;
  macLimit: number;
  /** Broadcast, multicast and unknown unicast packets a second, over all workers; 0 = no limit. */
  broadcastPps: number;
  /** Accept packets from VTEPs that are not configured. */
  acceptUnknownPeers: boolean;
}

export interface PortPlan {
  id: number;
  name: string;
  network: number;
  kind: 'tap' | 'memory' | 'pcap';
  mtu: number;
  /** tap */
  tap: TapPlan | null;
  /** pcap: input and output files. */
  pcap: { input: string | null; output: string | null } | null;
}

export interface TapPlan {
  /** Interface name. */
  device: string;
  create: boolean;
  /** Path of the network namespace that holds the device, null for the node's own. */
  netns: string | null;
  addresses: string[];
  mac: string | null;
  queues: number;
  owner: number | null;
  group: number | null;
}

export interface PeerPlan {
  id: number;
  network: number;
  underlay: number;
  address: string;
  udpPort: number;
  /** Learned from traffic of a network that accepts unknown peers. */
  dynamic: boolean;
}

export interface StaticMacPlan {
  network: number;
  mac: string;
  /** Exactly one of the two is not 0. */
  port: number;
  peer: number;
}

/** What the control thread opened for one worker: descriptors belong to the process and survive the worker. */
export interface WorkerDevices {
  ports: TapQueue[];
  underlays: UdpSockets[];
}

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

export interface UdpSockets {
  underlay: number;
  rxFd: number;
  /** One sending socket per source port. */
  txFds: number[];
  gro: boolean;
  segment: boolean;
}
