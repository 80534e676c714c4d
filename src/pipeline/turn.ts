import type { Tun } from '../native/tun.js';
import type { Clock } from '../packet/clock.js';
import { IO_LAYOUT, READY_MAX } from '../packet/outbox.js';
import type { Pipeline } from './pipeline.js';
import type { DpdkQueues, WorkerDevices } from './plan.js';

/**
 * The turn loop: one native poll over all descriptors and the doorbell, then a walk for each that is ready.
 *
 * Idle policy: after the last packet the worker keeps looking for busyPollUs without sleeping, then blocks in the poll. The doorbell
 * ends the sleep. Devices of DPDK have no descriptor: with some of them a worker naps, each time twice as long, until they have something.
 * `sleeping` says for people whether the worker blocks; the control thread rings always, its messages are rare.
 */
export interface TurnLoop {
  /** Watches exactly the descriptors of these devices. */
  watch(devices: WorkerDevices): void;
  /** Whether there are descriptors that it would watch no more. */
  givesUp(devices: WorkerDevices): boolean;
  /** One turn; blocks up to a second when there is nothing to do. Returns the packets or frames that were received. */
  turn(): number;
  /** Turns without sleeping while there is something to receive, at most `turnsMax`. */
  drain(turnsMax: number): void;
  /** Looks at the time without serving anybody: before the first plan is applied. */
  readClock(): void;
  busyPollUs: number;
  /** Told the id of a device that cannot be read any more, as the poll has it; it is watched no more. */
  onFailed: (id: number) => void;
  /** Microseconds that a turn blocks at most; 0: never. */
  sleepUs: number;
  close(): void;
}

/** Bursts that one descriptor gets in a turn before the others have theirs. */
const BURSTS_PER_TURN = 4;
const SLEEP_MAX_US = 1_000_000;
/** Ids of underlays in the poll start here. */
export const UNDERLAY_IDS = 1 << 16;
const TICK_MS = 1000;
/** Naps between two looks at devices of DPDK. The longest is what a first packet waits, and costs a thousand looks a second. */
const NAP_MIN_US = 16;
const NAP_MAX_US = 1024;

export function createTurnLoop(
  pipeline: Pipeline,
  tun: Tun,
  clock: Clock,
  doorbell: number,
  sleeping: Int32Array,
  sleepingAt: number,
): TurnLoop {
  const { walk, outbox } = pipeline;
  const { ready, io, clock: clockWords } = outbox;
  const poll = tun.bindPoll(io, IO_LAYOUT, IO_LAYOUT.ready, READY_MAX);
  poll.add(doorbell, -1);
  const watched = new Map<number, number>();
  const precise = new Float64Array(io.buffer, io.byteOffset + (IO_LAYOUT.clock + 2) * 4, 1);
  /** Ids of devices without a descriptor (capture files): looked at in every turn while they have more. */
  let unpolled: number[] = [];
  /** Ids of devices that are looked at in every turn, whatever they have: DPDK's. */
  let looked: number[] = [];
  let napUs = NAP_MIN_US;
  let busyAt = 0;
  let tickedAtMs = 0;

  function serve(id: number): number {
    let total = 0;
    for (let b = 0; b < BURSTS_PER_TURN; b++) {
      const isUnderlay = id >= UNDERLAY_IDS;
      const underlay = isUnderlay ? walk.underlays[id - UNDERLAY_IDS] : undefined;
      const port = isUnderlay ? undefined : walk.ports[id];
      const n = underlay ? walk.fromUnderlay(underlay) : port ? walk.fromPort(port) : 0;
      if (n < 0) unwatchFailed(id);
      if (n <= 0) break;
      total += n;
      if (!(underlay ?? port)?.hasMore()) break;
    }
    return total;
  }

  /** A device that was deleted by someone else stays ready for ever: it is watched no more until the plan names it again. */
  function unwatchFailed(id: number): void {
    for (const [fd, watchedId] of watched) {
      if (watchedId !== id) continue;
      poll.remove(fd);
      watched.delete(fd);
    }
    loop.onFailed(id);
  }

  function readClock(): void {
    clock.seconds = clockWords[0];
    clock.millis = clockWords[1];
  }

  function nap(): number {
    const us = napUs;
    napUs = Math.min(2 * us, NAP_MAX_US);
    return Math.min(us, loop.sleepUs);
  }

  const deviceOf = (id: number) => (id >= UNDERLAY_IDS ? walk.underlays[id - UNDERLAY_IDS] : walk.ports[id]);
  const hasWaiting = (id: number) => deviceOf(id)?.hasMore() ?? false;

  function serveReady(n: number): number {
    readClock();
    let total = 0;
    for (let k = 0; k < n; k++) total += serve(ready[k]);
    for (const id of unpolled) if (hasWaiting(id)) total += serve(id);
    for (const id of looked) total += serve(id);
    return total;
  }

  function findUnpolled(polled: Set<number>): number[] {
    const ids: number[] = [];
    for (const port of walk.ports) if (port && !polled.has(port.id)) ids.push(port.id);
    for (const u of walk.underlays) if (u && !polled.has(UNDERLAY_IDS + u.id)) ids.push(UNDERLAY_IDS + u.id);
    return ids;
  }

  const loop: TurnLoop = {
    busyPollUs: 0,
    onFailed() {},
    sleepUs: SLEEP_MAX_US,
    watch(devices) {
      const wanted = readBy(devices);
      for (const [fd, id] of watched) {
        if (wanted.get(fd) === id) continue;
        try {
          poll.remove(fd);
        } catch {
          // The control thread may have closed it already; epoll forgot it then.
        }
        watched.delete(fd);
      }
      for (const [fd, id] of wanted) {
        if (watched.has(fd)) continue;
        poll.add(fd, id);
        watched.set(fd, id);
      }
      const elsewhere = devices.ports.filter((q) => q.rxFd < 0).map((q) => q.port);
      const dpdk = devices.dpdk ?? [];
      const idOf = (q: DpdkQueues) => (q.port !== 0 ? q.port : UNDERLAY_IDS + q.underlay);
      looked = dpdk.filter((q) => q.rxQueue >= 0).map(idOf);
      unpolled = findUnpolled(new Set([...wanted.values(), ...elsewhere, ...dpdk.map(idOf)]));
      busyAt = 0;
    },
    givesUp(devices) {
      const wanted = readBy(devices);
      return [...watched.keys()].some((fd) => !wanted.has(fd));
    },
    turn() {
      let n = 0;
      const isBusy = (precise[0] - busyAt) * 1e6 < loop.busyPollUs;
      if (isBusy || (unpolled.length > 0 && unpolled.some(hasWaiting))) n = poll.wait(0);
      else {
        Atomics.store(sleeping, sleepingAt, 1);
        n = poll.wait(looked.length > 0 ? nap() : loop.sleepUs);
        Atomics.store(sleeping, sleepingAt, 0);
      }
      const total = serveReady(n);
      if (total > 0) {
        busyAt = precise[0];
        napUs = NAP_MIN_US;
      }
      if (((clock.millis - tickedAtMs) & 0x7fffffff) >= TICK_MS) {
        tickedAtMs = clock.millis;
        pipeline.tick();
      }
      return total;
    },
    drain(turnsMax) {
      for (let t = 0; t < turnsMax && serveReady(poll.wait(0)) > 0; t++);
    },
    readClock() {
      poll.wait(0);
      readClock();
    },
    close: () => poll.close(),
  };
  return loop;
}

/** Descriptors that a worker with these devices reads, and what they are of. */
function readBy(devices: WorkerDevices): Map<number, number> {
  const ids = new Map<number, number>();
  for (const q of devices.ports) if (q.rxFd >= 0) ids.set(q.rxFd, q.port);
  for (const u of devices.underlays) for (const fd of u.rxFds) ids.set(fd, UNDERLAY_IDS + u.underlay);
  return ids;
}
