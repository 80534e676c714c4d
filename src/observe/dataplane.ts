/**
 * What control and observation need of the workers. Tests put a fake in its place.
 */
import type { Supervisor } from '../worker/supervisor.js';

export type { MacRow, NeighbourRow, WorkerState } from '../worker/supervisor.js';

/** The part that only looks. */
export type DataplaneView = Pick<
  Supervisor,
  'counters' | 'macs' | 'neighbours' | 'nextHop' | 'workers' | 'slots' | 'gsoFallbacks'
>;

export type Dataplane = DataplaneView &
  Pick<
    Supervisor,
    | 'prepare'
    | 'start'
    | 'staff'
    | 'apply'
    | 'dpdkFrames'
    | 'dropDpdk'
    | 'stop'
    | 'flushMacs'
    | 'setNextHop'
    | 'capture'
    | 'drainHeartbeats'
    | 'events'
  >;
