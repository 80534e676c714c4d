import { PORT_ROW, ROW_WIDTH, RX_BYTES, UNDERLAY_ROW } from '../packet/counters.js';
import { openSession, type Session } from './openSession.js';
import type { ReplayReport } from './options.js';
import { createPacer } from './pacer.js';
import { type RealWorld, runReal } from './realRun.js';
import { summarize } from './summary.js';
import { PROGRESS_BYTES, PROGRESS_PACKETS, PROGRESS_STOP, type ReplayTask } from './task.js';
import { createVirtualClock } from './virtualClock.js';
import { type RunEnd, runVirtual } from './virtualRun.js';

/** Bursts between two looks at whether to stop, in a run that never waits. */
const LOOK_MASK = 255;

/** Tells progress, and hears whether to stop. */
function bindLook({ task, captures }: Session, mask: number): (packets: number) => boolean {
  const progress = new Float64Array(task.progress);
  let looks = 0;
  return (packets) => {
    if ((looks++ & mask) !== 0) return false;
    progress[PROGRESS_PACKETS] = packets;
    let bytes = 0;
    for (const { input } of captures.inputs) bytes += input.bytesRead;
    progress[PROGRESS_BYTES] = bytes;
    return progress[PROGRESS_STOP] !== 0;
  };
}

const limitsOf = ({ limit, durationSec }: ReplayTask) => ({ packets: limit, seconds: durationSec });

function runOnCaptureTime(session: Session): RunEnd {
  const { task, pipeline, clock, now, sources } = session;
  const virtual = createVirtualClock(clock, pipeline.tick);
  const both = {
    advance(seconds: number, nanoseconds: number) {
      now.seconds = seconds;
      now.nanoseconds = nanoseconds;
      virtual.advance(seconds, nanoseconds);
    },
  };
  return runVirtual(sources, both, limitsOf(task), bindLook(session, LOOK_MASK));
}

/** Turns after the last packet, for what real devices still have to say. */
const DRAIN_TURNS = 64;

function runOnRealTime(session: Session, loop: NonNullable<Session['loop']>): RunEnd {
  const { task, pipeline, captures, sources } = session;
  const { counters } = pipeline;
  const rows = captures.inputs.map(({ device: { kind, id } }) => (kind === 'port' ? PORT_ROW : UNDERLAY_ROW) + id);
  const world: RealWorld = {
    nowUs: () => performance.now() * 1000,
    turn(sleepUs) {
      loop.sleepUs = sleepUs;
      loop.turn();
    },
    bytesOf: (source) => counters[rows[source] * ROW_WIDTH + RX_BYTES],
  };
  loop.readClock();
  const end = runReal(sources, world, createPacer(task.pace), task.loop, limitsOf(task), bindLook(session, 0));
  loop.drain(DRAIN_TURNS);
  return end;
}

/** Runs one replay from open files to closed ones. */
export function runSession(task: ReplayTask): ReplayReport {
  const startedAt = performance.now();
  const session = openSession(task);
  const { pipeline, captures, flows, loop } = session;
  let isClosed = false;
  try {
    const end = loop === null ? runOnCaptureTime(session) : runOnRealTime(session, loop);
    isClosed = true;
    captures.close();
    if (session.slotsHeld() !== 0) throw new Error(`${session.slotsHeld()} slots did not come home`);
    return summarize({
      ...{ counters: pipeline.counters, plan: task.plan, flows },
      ...{ devices: captures.devices, inputs: captures.inputs },
      captureSeconds: end.captureSeconds,
      seconds: (performance.now() - startedAt) / 1000,
      stopped: end.stopped,
    });
  } finally {
    if (!isClosed) captures.abandon();
    loop?.close();
  }
}
