import { type Dpdk, dpdk } from '../native/dpdk.js';
import { EPOLLET, EPOLLIN, type Tun } from '../native/tun.js';
import type { Clock } from '../packet/clock.js';
import { IO_LAYOUT, READY_MAX } from '../packet/outbox.js';
import type { Pipeline } from './pipeline.js';
import type { DpdkQueues, WorkerDevices } from './plan.js';

/**
 * The turn loop: one native poll over all descriptors and the doorbell, then a walk for each that is ready.
 *
 * Idle policy: after the last packet the worker keeps looking for busyPollUs without sleeping, then blocks in the poll. The doorbell
 * ends the sleep. Devices of DPDK that can say when they have something are asked to before a sleep, and looked at once more; others are looked
 * at again and again, after a part of the time that they have been silent.
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
/** Naps between two looks at devices of DPDK, by how long they have been silent. The longest is what a first packet waits at most. */
const NAP_PART = 1 / 16;
const NAP_MIN_US = 16;
const NAP_MAX_US = 8192;
/** Of what ends a sleep and is no device. */
const NOBODY = 0;

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
  /** Of them, those that interrupt a sleep. */
  let interrupting: DpdkQueues[] = [];
  let addon: Dpdk | null = null;
  let naps = false;
  let neverSleeps = false;
  /** When something was received last. No variable: each new number in one would be 16 bytes of the heap, a turn. */
  const busyAt = new Float64Array(1);
  let tickedAtMs = 0;
  /** Received on the way to sleep. */
  let early = 0;

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

  /** Microseconds that the worker may sleep. */
  function sleepTime(): number {
    if (!naps) return loop.sleepUs;
    const silentUs = (precise[0] - busyAt[0]) * 1e6;
    return Math.min(Math.max(silentUs * NAP_PART, NAP_MIN_US), NAP_MAX_US, loop.sleepUs);
  }

  function askForInterrupts(isWanted: number): void {
    for (const { device, rxQueues } of interrupting)
      for (const queue of rxQueues) addon?.interrupt(device, queue, isWanted);
  }

  function serveLooked(): number {
    let total = 0;
    for (const id of looked) total += serve(id);
    return total;
  }

  /** Waits until something is ready, or for as long as it may; returns the number of ids that are. */
  function sleep(): number {
    Atomics.store(sleeping, sleepingAt, 1);
    const n = poll.wait(sleepTime());
    Atomics.store(sleeping, sleepingAt, 0);
    return n;
  }

  /** The same where devices of DPDK interrupt it. What came before they were asked to is served at once. */
  function sleepUntilInterrupted(): number {
    askForInterrupts(1);
    early = serveLooked();
    const n = early > 0 ? poll.wait(0) : sleep();
    askForInterrupts(0);
    return n;
  }

  const deviceOf = (id: number) => (id >= UNDERLAY_IDS ? walk.underlays[id - UNDERLAY_IDS] : walk.ports[id]);
  const hasWaiting = (id: number) => deviceOf(id)?.hasMore() ?? false;

  function serveReady(n: number): number {
    readClock();
    let total = 0;
    for (let k = 0; k < n; k++) total += serve(ready[k]);
    for (const id of unpolled) if (hasWaiting(id)) total += serve(id);
    return total + serveLooked();
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
        // Nobody reads what only ends a sleep.
        poll.add(fd, id, id === NOBODY ? EPOLLIN + EPOLLET : EPOLLIN);
        watched.set(fd, id);
      }
      const elsewhere = devices.ports.filter((q) => q.rxFd < 0).map((q) => q.port);
      const devicesOfDpdk = devices.dpdk ?? [];
      const idOf = (q: DpdkQueues) => (q.port !== 0 ? q.port : UNDERLAY_IDS + q.underlay);
      const read = devicesOfDpdk.filter((q) => q.rxQueues.length > 0);
      looked = read.map(idOf);
      interrupting = read.filter(({ idle }) => idle === 'interrupt');
      naps = read.some(({ idle }) => idle === 'sleep');
      neverSleeps = read.some(({ idle }) => idle === 'busy');
      if (interrupting.length > 0) addon ??= dpdk();
      unpolled = findUnpolled(new Set([...wanted.values(), ...elsewhere, ...devicesOfDpdk.map(idOf)]));
      busyAt[0] = 0;
    },
    givesUp(devices) {
      const wanted = readBy(devices);
      return [...watched.keys()].some((fd) => !wanted.has(fd));
    },
    turn() {
      let n = 0;
      early = 0;
      const isBusy = neverSleeps || (precise[0] - busyAt[0]) * 1e6 < loop.busyPollUs;
      if (isBusy || (unpolled.length > 0 && unpolled.some(hasWaiting))) n = poll.wait(0);
      else n = interrupting.length > 0 ? sleepUntilInterrupted() : sleep();
      const total = early + serveReady(n);
      if (total > 0) busyAt[0] = precise[0];
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
  for (const q of devices.dpdk ?? []) for (const fd of q.wakes) ids.set(fd, NOBODY);
  return ids;
}
