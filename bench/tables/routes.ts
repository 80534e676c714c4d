import { setTimeout as sleep } from 'node:timers/promises';
import { bindRouteLookup } from '../../dist/forward/routeLookup.js';
import { buildRouteTable, writeRouteTable } from '../../dist/forward/routeTable.js';
import {
  type Arena,
  type ArenaShape,
  attachArena,
  columnAllocator,
  createArenaMemory,
  slotStart,
} from '../../dist/packet/arena.js';
import { type Burst, createBurst, IS_V4, IS_V6, LANES } from '../../dist/packet/burst.js';
import { type Benchmark, numberOption } from '../benchmark.js';
import { createRandom } from '../pipeline/frames.js';
import type { Findings } from '../report/report.js';
import { ratios } from '../report/statistics.js';
import { cell } from '../report/table.js';
import { timeWork } from '../report/threadTime.js';
import { growthTarget, LARGEST, millionsPerSec, SMALLEST, sizeText } from './growth.js';
import { ADDRESS_BYTES, addressWithin, type Family, NETWORK, randomAddress, randomRoutes } from './prefixes.js';

const SIZES: [Family, number][] = [
  ['IPv4', SMALLEST],
  ['IPv4', 100_000],
  ['IPv4', LARGEST],
  ['IPv6', SMALLEST],
  ['IPv6', 100_000],
];
const KINDS = ['random', 'hit'] as const;
type Kind = (typeof KINDS)[number];

/** Lookups of one sample: some milliseconds. */
const LOOKUPS = 128 * 1024;
const BUILDS = 3;
const WARM_UP_SAMPLES = 10;
const ROUTE_BYTES = 128 * 1024 * 1024;
const HEADER_WORDS = 16;
/** Byte of the destination in an IP header. */
const DST_OFF: Record<Family, number> = { IPv4: 16, IPv6: 24 };

interface TableCase {
  family: Family;
  count: number;
  tableAt: number;
  tableBytes: number;
  buildMs: number[];
  /** As they lie in headers, one after the other. */
  addresses: Record<Kind, Int32Array>;
  ns: Record<Kind, number[]>;
}

interface Rig {
  arena: Arena;
  burst: Burst;
  /** Word of the first header; they are HEADER_WORDS apart and stay in the cache. */
  headers: number;
  lookUp: (n: number, tableAt: number) => void;
}

function makeRig(): Rig {
  const shape: ArenaShape = {
    workers: 1,
    smallSlots: 1,
    largeSlots: 1,
    headerBytes: 4096,
    captureBytes: 4096,
    macBytes: 4096,
    neighbourBytes: 0,
    routeBytes: ROUTE_BYTES,
  };
  const arena = attachArena(createArenaMemory(shape), shape);
  const allocate = columnAllocator(arena, 0, arena.partitions[0].columnsAt);
  const burst = createBurst(allocate);
  const lookUp = bindRouteLookup(arena, burst, allocate);
  burst.network.fill(NETWORK);
  const headersAt = slotStart(arena, 1);
  for (let lane = 0; lane < LANES; lane++) burst.l3[lane] = headersAt + lane * HEADER_WORDS * 4;
  return { arena, burst, headers: headersAt >> 2, lookUp };
}

function makeCase(rig: Rig, family: Family, count: number, tableAt: number): TableCase {
  const random = createRandom(count);
  const routes = randomRoutes(family, count, random);
  let table: Int32Array = new Int32Array(0);
  const buildMs = Array.from({ length: BUILDS }, () => {
    return (
      timeWork(() => {
        table = buildRouteTable(routes);
      }).onCoreNs / 1e6
    );
  });
  writeRouteTable(rig.arena.words, tableAt, rig.arena.bytes.length - tableAt, table);
  const gather = (next: () => Uint8Array) => {
    const bytes = new Uint8Array(LOOKUPS * ADDRESS_BYTES[family]);
    for (let at = 0; at < bytes.length; at += ADDRESS_BYTES[family]) bytes.set(next(), at);
    return new Int32Array(bytes.buffer);
  };
  return {
    family,
    count,
    tableAt,
    tableBytes: table.byteLength,
    buildMs,
    addresses: {
      random: gather(() => randomAddress(family, random)),
      hit: gather(() => addressWithin(routes[random(count)], random)),
    },
    ns: { random: [], hit: [] },
  };
}

/** All addresses go through the headers of one burst, and with `lookUp` through the table. */
function pass(rig: Rig, { family, tableAt }: TableCase, addresses: Int32Array, lookUp: Rig['lookUp']): void {
  const { words } = rig.arena;
  const size = ADDRESS_BYTES[family] / 4;
  const first = rig.headers + DST_OFF[family] / 4;
  for (let from = 0; from < addresses.length; from += LANES * size) {
    for (let k = 0, to = first; k < LANES * size; k += size, to += HEADER_WORDS)
      for (let w = 0; w < size; w++) words[to + w] = addresses[from + k + w];
    lookUp(LANES, tableAt);
  }
}

const lookNowhere = () => {};

/** Nanoseconds of a lookup, without those of putting the addresses in their places. */
function sample(rig: Rig, table: TableCase, kind: Kind): number {
  rig.burst.flags.fill(table.family === 'IPv4' ? IS_V4 : IS_V6);
  const addresses = table.addresses[kind];
  // The table that was looked up before has this one's place in the cache.
  pass(rig, table, addresses, rig.lookUp);
  const without = timeWork(() => pass(rig, table, addresses, lookNowhere)).onCoreNs;
  const whole = timeWork(() => pass(rig, table, addresses, rig.lookUp)).onCoreNs;
  return (whole - without) / LOOKUPS;
}

async function measure(rounds: number, log: (line: string) => void): Promise<TableCase[]> {
  const rig = makeRig();
  const cases: TableCase[] = [];
  let tableAt = rig.arena.routeAt;
  for (const [family, count] of SIZES) {
    log(`building ${sizeText(count)} prefixes of ${family}`);
    const table = makeCase(rig, family, count, tableAt);
    tableAt = Math.ceil((tableAt + table.tableBytes) / 64) * 64;
    cases.push(table);
  }
  const each = (work: (table: TableCase, kind: Kind) => void) => {
    for (const table of cases) for (const kind of KINDS) work(table, kind);
  };
  for (let n = 0; n < WARM_UP_SAMPLES; n++) {
    each((table, kind) => void sample(rig, table, kind));
    // The kernel's final form is compiled beside this thread.
    await sleep(20);
  }
  for (let round = 0; round < rounds; round++) {
    if (round % 10 === 0) log(`round ${round + 1} of ${rounds}`);
    each((table, kind) => table.ns[kind].push(sample(rig, table, kind)));
  }
  return cases;
}

export const routes: Benchmark = {
  name: 'routes',
  summary: 'route table: lookups a second at 1k, 100k and 1M prefixes, growth of their cost, time to build',
  options: { rounds: { type: 'string', default: '31', help: 'rounds over all tables' } },
  async run(options, log): Promise<Findings> {
    const cases = await measure(numberOption(options, 'rounds', 1), log);
    const smallest = (family: Family) => cases.find((c) => c.family === family && c.count === SMALLEST) as TableCase;
    const largest = cases.find((c) => c.family === 'IPv4' && c.count === LARGEST) as TableCase;
    const columns = ['ns', 'million/s', 'x 1k'];
    return {
      tables: [
        {
          title: 'lookups in bursts of 64, and what the table costs',
          columns: ['prefixes', ...KINDS.flatMap((kind) => columns.map((c) => `${kind} ${c}`)), 'MB', 'build ms'],
          rows: cases.map((c) => [
            `${c.family} ${sizeText(c.count)}`,
            ...KINDS.flatMap((kind) => [
              cell(c.ns[kind]),
              cell(millionsPerSec(c.ns[kind])),
              cell(ratios(c.ns[kind], smallest(c.family).ns[kind]), 2),
            ]),
            (c.tableBytes / 1e6).toFixed(2),
            cell(c.buildMs, 0),
          ]),
        },
      ],
      series: cases.flatMap((c) => [
        ...KINDS.map((kind) => ({ name: `${c.family}/${c.count}/${kind}`, unit: 'ns', samples: c.ns[kind] })),
        { name: `${c.family}/${c.count}/build`, unit: 'ms', samples: c.buildMs },
        { name: `${c.family}/${c.count}/size`, unit: 'bytes', samples: [c.tableBytes] },
      ]),
      targets: KINDS.map((kind) =>
        growthTarget(`IPv4 lookups of ${kind} addresses`, smallest('IPv4').ns[kind], largest.ns[kind]),
      ),
      notes: [
        'random: addresses from the whole unicast space; hit: addresses within the prefixes. Prefix lengths as in public routing tables.',
        'The headers of the burst stay in the cache; putting the addresses into them is timed apart and taken off.',
      ],
    };
  },
};
