/**
 * One replay in a thread of its own: the same pipeline as a live worker's, and another loop around it. Runs to its end without a pause, so
 * that it talks to the thread that started it by words in shared memory alone.
 */
import { WeftError, type WeftErrorCode, type WeftErrorDetails } from '../packet/error.js';
import type { Plan, WorkerDevices } from '../pipeline/plan.js';
import type { Pace, PacketEdit, ReplayReport } from './options.js';
import { runSession } from './session.js';

/** A capture, and the port or underlay of the plan that it comes in at. */
export interface TaskInput {
  file: string;
  kind: 'port' | 'underlay';
  id: number;
  device: string;
}

export interface ReplayTask {
  plan: Plan;
  inputs: readonly TaskInput[];
  out: string | null;
  outDir: string | null;
  outOnly: readonly string[] | null;
  keepInterfaces: boolean;
  edits: readonly PacketEdit[];
  /** Real clock: the doorbell of the turn loop, and descriptors of what is no capture. */
  real: { devices: WorkerDevices; doorbell: number } | null;
  pace: Pace;
  loop: number;
  /** 0: none. */
  limit: number;
  durationSec: number;
  progress: SharedArrayBuffer;
}

/** Doubles of `progress`: packets and bytes read so far; not 0: end. */
export const PROGRESS_PACKETS = 0;
export const PROGRESS_BYTES = 1;
export const PROGRESS_STOP = 2;
export const PROGRESS_WORDS = 4;

/** Errors lose their class between threads. */
export type TaskResult =
  | { report: ReplayReport }
  | { error: { code: WeftErrorCode; message: string; details: WeftErrorDetails } };

export default function replayTask(task: ReplayTask): TaskResult {
  try {
    return { report: runSession(task) };
  } catch (error) {
    if (!(error instanceof WeftError)) throw error;
    const { code, message, object, syscall, errno, remedy } = error;
    return { error: { code, message, details: { object, syscall, errno, remedy } } };
  }
}
