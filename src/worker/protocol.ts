import type { MessagePort } from 'node:worker_threads';
import type { PipelineMemory } from '../pipeline/pipeline.js';
import type { Plan, WorkerDevices } from '../pipeline/plan.js';
import type { StandIns } from '../pipeline/standIns.js';
import type { Steps } from '../pipeline/walk.js';

/**
 * How the control thread and a worker talk. Words in shared memory say that something is to be done (a busy worker never runs its event loop);
 * a message port, read with receiveMessageOnPort, says what.
 */
export const STOP = 0;
/** Grows with every message to the worker. */
export const MAIL = 1;
export const SLEEPING = 2;
/** Turns since the thread started: shows life. */
export const TURNS = 3;
/** The thread has loaded its modules and begun its task. */
export const BEGUN = 4;
/** More than are used: every turn writes, and words of two threads must not lie in one cache line. */
export const CONTROL_WORDS = 64;

/** The argument of a worker's one long task: what its place is made of. Its first plan comes by message. */
export interface WorkerTask {
  /** Partition of the arena. */
  place: number;
  memory: PipelineMemory;
  control: SharedArrayBuffer;
  doorbell: number;
  /** For the warm-up. */
  standIns: StandIns;
  port: MessagePort;
  /** Tests: the step that throws at its first burst of real frames. */
  faultyStep: keyof Steps | null;
}

export type ToWorker =
  /** `role`: which of the plan's workers it is; `routesAt`: where the plan's route table lies in the arena, 0 for none. */
  | { type: 'plan'; plan: Plan; role: number; devices: WorkerDevices; routesAt: number }
  | { type: 'capture'; key: number; snapLen: number };

export type FromWorker =
  | { type: 'ready'; threadId: number }
  | { type: 'applied'; generation: number; error?: string }
  | { type: 'capturing'; key: number }
  | { type: 'failed'; message: string; stack: string }
  | { type: 'unknown-peer'; underlay: number; network: number; address: Int32Array }
  | PathMtuReport
  | DeviceFailure;

/** The path to an address (four IPv4-mapped words) takes packets of `bytes` at most; `isLocal`: this machine's kernel says so, not a router. */
export interface PathMtuReport {
  type: 'path-mtu';
  underlay: number;
  address: Int32Array;
  bytes: number;
  isLocal: boolean;
}

/** A port or carrier cannot be read any more. The worker leaves it alone until the next plan. */
export interface DeviceFailure {
  type: 'device-failed';
  kind: 'port' | 'underlay';
  id: number;
}
