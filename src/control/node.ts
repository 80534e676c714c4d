/**
 * A node: configuration in, frames moving, documents out.
 */
import type { EventEmitter } from 'node:events';
import type { CaptureOptions, CaptureStream } from '../observe/capture.js';
import type { Dataplane, WorkerState } from '../observe/dataplane.js';
import type {
  DropsDocument,
  MacDocument,
  NeighbourDocument,
  NetworkDocument,
  PeerDocument,
  PortDocument,
  ReloadDocument,
  RouteAnswer,
  RouteDocument,
  StatsDocument,
  StatusDocument,
} from '../observe/documents.js';
import { createSupervisor } from '../worker/supervisor.js';
import { arenaShapeOf } from './arenaShape.js';
import { checkValue, requireConfig } from './config/check.js';
import type { Config, ConfigInput, NetworkInput, PeerInput, PortInput, StaticMacInput } from './config/config.js';
import { type DeviceKernel, loadKernel } from './devices/deviceKernel.js';
import { RunningNode } from './runningNode.js';
import { workersMaxOf } from './workers.js';

export interface NodeEvents {
  state: [state: StatusDocument['node']['state']];
  'network-added': [network: NetworkDocument];
  'network-removed': [name: string];
  'port-added': [port: PortDocument];
  'port-removed': [name: string];
  'peer-added': [peer: PeerDocument];
  'peer-removed': [peer: { network: string; address: string }];
  /** A peer answers heartbeats, for the first time or again. */
  'peer-up': [peer: { network: string; address: string }];
  /** A peer has not answered heartbeats for the timeout of its network. Traffic to it goes on. */
  'peer-down': [peer: { network: string; address: string }];
  /** A peer that roams proved to be somewhere else, and is followed. */
  'peer-moved': [peer: { network: string; address: string; to: { address: string; udpPort: number } }];
  /** The device of a port is gone, or its namespace. The node goes on, and has it back as soon as it can. */
  'port-lost': [loss: { name: string; message: string }];
  'port-healed': [port: { name: string; afterSec: number }];
  /** The virtual machine behind a port of type vhost-user has started its network card, or is gone. */
  'machine-up': [port: { name: string }];
  'machine-down': [port: { name: string }];
  /** The address of an underlay is gone, or its device. */
  'underlay-lost': [loss: { name: string; message: string }];
  'underlay-healed': [underlay: { name: string; afterSec: number }];
  /** A worker died; its slots went home, what it held is counted as worker-lost. */
  'worker-lost': [event: { index: number; message: string; packetsLost: number; slotsHeld: number }];
  /** `stoodBy`: the thread was warm; otherwise it had to warm up first. */
  'worker-replaced': [event: { index: number; afterMs: number; stoodBy: boolean }];
  /** `setWorkers` has brought the node to another number of workers. */
  'workers-changed': [workers: { from: number; to: number }];
  /** A reload has begun; one of the next two follows. */
  reloading: [];
  reloaded: [document: ReloadDocument];
  /** The node is as it was. */
  'reload-failed': [error: Error];
  /** Something that did not stop the node, as a sentence. */
  warning: [message: string];
}

/** A node of the overlay, as `createNode` makes it. Methods that change it throw a WeftError and leave it as it was. */
export interface Node extends EventEmitter<NodeEvents> {
  readonly name: string;
  readonly state: StatusDocument['node']['state'];
  /** Path of the control socket, null without one. */
  readonly socket: string | null;
  /** Configuration as it is now, with all that was changed since the start. */
  readonly config: Config;
  /** Opens devices and sockets, starts the workers; resolves when frames move. */
  start(): Promise<void>;
  /** Ends captures, drains the workers, removes what was created. */
  stop(): Promise<void>;
  /**
   * Moves the node to another configuration, all or nothing; only what differs is touched. Without one, the file that the node was made
   * of is read again. Throws a RestartError when there are settings that only a start can change.
   */
  reload(config?: ConfigInput, options?: ReloadOptions): Promise<ReloadDocument>;
  /**
   * Brings the node to another number of workers, while frames move; more than `node.workersMax` throws a RestartError. A flow may move to another
   * worker, once.
   */
  setWorkers(workers: number): Promise<WorkerState[]>;
  addNetwork(network: NetworkInput): Promise<NetworkDocument>;
  /** Removes a network with its ports and peers, and the bridges that it is part of. */
  removeNetwork(name: string): Promise<void>;
  addStaticMac(network: string, entry: StaticMacInput): Promise<MacDocument>;
  removeStaticMac(network: string, mac: string): Promise<void>;
  addPort(network: string, port: PortInput): Promise<PortDocument>;
  removePort(name: string): Promise<void>;
  addPeer(network: string, peer: PeerInput): Promise<PeerDocument>;
  removePeer(network: string, address: string): Promise<void>;
  status(): StatusDocument;
  /** The workers as they are now: what `status` says of them, without a question to the kernel. */
  workers(): WorkerState[];
  stats(): StatsDocument;
  macs(): MacDocument[];
  /** IP neighbours that the node knows, of networks for which it answers ARP and neighbour discovery. */
  neighbours(): NeighbourDocument[];
  peers(): PeerDocument[];
  drops(): DropsDocument;
  /** Routes of the networks of mode l3. */
  routes(): RouteDocument[];
  /** Where packets to an address go. */
  route(network: string, address: string): RouteAnswer;
  /** Frames of a port as a pcapng stream. */
  capture(on: string, options?: CaptureOptions): CaptureStream;
}

export interface NodeOptions {
  /** Serve the control socket, which `weft status` and the other verbs use. Default true. */
  control?: boolean;
  /** Configuration file that a reload without a configuration reads again. */
  file?: string;
}

export interface ReloadOptions {
  /** Only says what would change. */
  dryRun?: boolean;
}

/** What a node is made of; tests put fakes here. */
export interface NodeParts {
  kernel(): DeviceKernel;
  dataplane(config: Config): Dataplane;
  /** Monotonic seconds. */
  now(): number;
}

/** Workers with an arena and tables of the configured size. */
function supervisorOf(config: Config): Dataplane {
  const { node, networks } = config;
  const macs = networks.reduce((sum, network) => sum + network.macLimit, 0);
  return createSupervisor({
    workers: node.workers,
    workersMax: workersMaxOf(config),
    shape: arenaShapeOf(config),
    macs: Math.max(16384, macs),
  });
}

const monotonicSeconds = () => Number(process.hrtime.bigint()) / 1e9;

/** Makes a node of a configuration; nothing is opened before `start`. Throws a ConfigError with every problem. */
export function createNode(config: ConfigInput, options: NodeOptions = {}, parts: Partial<NodeParts> = {}): Node {
  const checked = requireConfig(checkValue(config));
  return new RunningNode(checked, options, {
    kernel: loadKernel,
    dataplane: supervisorOf,
    now: monotonicSeconds,
    ...parts,
  });
}
