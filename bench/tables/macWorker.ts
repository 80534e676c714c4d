import { parentPort, workerData } from 'node:worker_threads';
import { bindLearn } from '../../dist/forward/learn.js';
import { bindLookup } from '../../dist/forward/lookup.js';
import { attachMacTable, findEntry, type MacTable, macKey, macTableBytes } from '../../dist/forward/macTable.js';
import { type ArenaShape, attachArena, columnAllocator, createArenaMemory } from '../../dist/packet/arena.js';
import { type Burst, createBurst, LANES, TO_PORT } from '../../dist/packet/burst.js';
import { createClock } from '../../dist/packet/clock.js';
import { makeCounterBlock } from '../../dist/packet/counters.js';
import { columnsBehindIo } from '../../dist/packet/outbox.js';
import { createTables } from '../../dist/pipeline/tables.js';
import { instantiateWalk } from '../../dist/pipeline/walkKernel.js';
import { sink } from '../micro/cases.js';
import { createRandom } from '../pipeline/frames.js';
import { timeWork } from '../report/threadTime.js';

/** One table size; a thread of its own, since a burst step exists once in an isolate. */
export interface MacAssignment {
  count: number;
  samples: number;
}

export const MAC_CASES = ['lookup', 'unknown', 'single', 'insert'] as const;
export type MacCase = (typeof MAC_CASES)[number];
/** Nanoseconds of one operation, a sample each. */
export type MacOutcome = Record<MacCase, number[]>;

const NETWORK = 1;
const NOW = 100;
const AGEING_SEC = 300;
/** Operations of one sample: some milliseconds. */
const OPERATIONS = 128 * 1024;
const WARM_UP_SAMPLES = 5;
const HERE = TO_PORT | 1;
const ELSEWHERE = TO_PORT | 2;
/** Multiplied by it, neighbouring stations are far apart in every table; odd, so no two become the same. */
const SCATTER = 0x5bd1e995;

function makeRig(count: number) {
  const shape: ArenaShape = {
    workers: 1,
    smallSlots: 1,
    largeSlots: LANES,
    headerBytes: 512 * 1024,
    captureBytes: 4096,
    macBytes: macTableBytes(count),
    neighbourBytes: 0,
    routeBytes: 0,
  };
  const arena = attachArena(createArenaMemory(shape), shape);
  const allocate = columnAllocator(arena, 0, columnsBehindIo(arena, 0));
  const burst = createBurst(allocate);
  const tables = createTables(allocate);
  const table = attachMacTable(arena.memory.buffer as SharedArrayBuffer, 2, arena.macAt, shape.macBytes);
  const kernel = instantiateWalk(arena, burst, tables, table);
  const clock = createClock(NOW);
  const counters = new Float64Array(makeCounterBlock());
  table.limits[NETWORK] = count;
  tables.ageingSec[NETWORK] = AGEING_SEC;
  burst.network.fill(NETWORK);
  const learn = bindLearn(burst, table, tables.ageingSec, clock, counters, kernel);
  return {
    burst,
    table,
    prefetch: kernel.prefetch,
    learn,
    lookup: bindLookup(burst, table, clock, kernel, tables.peerNetwork),
  };
}

type Rig = ReturnType<typeof makeRig>;

/** Bytes 0-3 of a station's MAC: unicast, locally administered, 24 bits of the number's scatter in the others. */
const loOf = (station: number) => 0x02 | (Math.imul(station, SCATTER) & 0xffffff00);
/** Bytes 4-5: the 8 bits that are left. */
const hiOf = (station: number) => Math.imul(station, SCATTER) & 0xff;

function setStations(lo: Int32Array, hi: Int32Array, stations: Int32Array, from: number, n: number): void {
  for (let i = 0; i < n; i++) {
    lo[i] = loOf(stations[from + i]);
    hi[i] = hiOf(stations[from + i]);
  }
}

function clear(table: MacTable): void {
  for (const part of [table.entries, table.moves, table.counts, table.control]) part.fill(0);
}

/** Learns stations in bursts, as the walk does; all of them are new. */
function learnAll(rig: Rig, stations: Int32Array): void {
  const { burst, prefetch, learn } = rig;
  for (let from = 0; from < stations.length; from += LANES) {
    const n = Math.min(LANES, stations.length - from);
    setStations(burst.srcLo, burst.srcHi, stations, from, n);
    prefetch(n);
    learn(n);
  }
}

function lookUpAll({ burst, prefetch, lookup }: Rig, stations: Int32Array): void {
  for (let from = 0; from < stations.length; from += LANES) {
    setStations(burst.dstLo, burst.dstHi, stations, from, LANES);
    prefetch(LANES);
    lookup(LANES);
  }
}

function setAll({ burst }: Rig, stations: Int32Array): void {
  for (let from = 0; from < stations.length; from += LANES)
    setStations(burst.dstLo, burst.dstHi, stations, from, LANES);
}

/** The control thread's lookup: one after the other, nothing touched before. */
function findAll(table: MacTable, stations: Int32Array): void {
  let found = 0;
  for (let k = 0; k < stations.length; k++) {
    const station = stations[k];
    found ^= findEntry(table, loOf(station), macKey(hiOf(station), NETWORK));
  }
  sink.value ^= found;
}

function setUnchanged(burst: Burst, what: 'src' | 'dst'): void {
  burst[`${what}Lo`].fill(loOf(0));
  burst[`${what}Hi`].fill(hiOf(0));
}

const nsOf = (operations: number, work: () => void) => timeWork(work).onCoreNs / operations;

/** Fills the table from empty, over and over where it is small. */
function sampleInserts(rig: Rig, stations: Int32Array): number {
  let ns = 0;
  const fills = Math.ceil(OPERATIONS / stations.length);
  setUnchanged(rig.burst, 'dst');
  rig.burst.origin.fill(HERE);
  for (let fill = 0; fill < fills; fill++) {
    clear(rig.table);
    ns += nsOf(stations.length, () => learnAll(rig, stations));
  }
  return ns / fills;
}

function requireHere({ burst }: Rig): void {
  if (burst.dst.some((value) => value !== HERE) || burst.drop.some((reason) => reason !== 0))
    throw new Error('stations were not found');
}

/** One sample of each case. Putting the MACs into the columns is timed apart and taken off. */
function sample(rig: Rig, everyone: Int32Array, known: Int32Array, strangers: Int32Array): Record<MacCase, number> {
  const { burst, table } = rig;
  const insert = sampleInserts(rig, everyone);
  if (table.counts[NETWORK] !== everyone.length) throw new Error('stations were not learned');
  setUnchanged(burst, 'src');
  burst.origin.fill(ELSEWHERE);
  lookUpAll(rig, known);
  requireHere(rig);
  const lookup = nsOf(OPERATIONS, () => lookUpAll(rig, known));
  const unknown = nsOf(OPERATIONS, () => lookUpAll(rig, strangers));
  const single = nsOf(OPERATIONS, () => findAll(table, known));
  const setting = nsOf(OPERATIONS, () => setAll(rig, known));
  return { lookup: lookup - setting, unknown: unknown - setting, single, insert: insert - setting };
}

function measure({ count, samples }: MacAssignment): MacOutcome {
  const rig = makeRig(count);
  const random = createRandom(count);
  const everyone = Int32Array.from({ length: count }, (_, station) => station);
  const known = Int32Array.from({ length: OPERATIONS }, () => random(count));
  const strangers = Int32Array.from({ length: OPERATIONS }, () => count + random(count));
  // The first filling also costs the pages that nobody had.
  for (let n = 0; n < WARM_UP_SAMPLES; n++) sample(rig, everyone, known, strangers);
  const found = Array.from({ length: samples }, () => sample(rig, everyone, known, strangers));
  const of = (name: MacCase) => found.map((each) => each[name]);
  return { lookup: of('lookup'), unknown: of('unknown'), single: of('single'), insert: of('insert') };
}

if (parentPort !== null) parentPort.postMessage(measure(workerData));
