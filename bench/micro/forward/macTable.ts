import {
  attachMacTable,
  createMacTableBuffer,
  findEntry,
  learnSource,
  macKey,
} from '../../../dist/forward/macTable.js';
import { TO_PORT } from '../../../dist/packet/burst.js';
import { createRandom, stationMac } from '../../pipeline/frames.js';
import { type Case, MANY, sink } from '../cases.js';

const MACS = 4000;
const NETWORK = 1;
const NOW = 10;
const FAR = 1 << 28;

/** The table's own functions, as the control thread and the steps' slow paths call them: 4000 MACs, in random order. */
export function macTableCases(): Case[] {
  const table = attachMacTable(createMacTableBuffer(16384), 1);
  table.limits[NETWORK] = 16384;
  const random = createRandom(3);
  const lo = new Int32Array(MANY);
  const hi = new Int32Array(MANY);
  const words = (station: number): [number, number] => {
    const mac = stationMac(station);
    return [mac[0] | (mac[1] << 8) | (mac[2] << 16) | (mac[3] << 24), mac[4] | (mac[5] << 8)];
  };
  for (let station = 0; station < MACS; station++) {
    const [l, h] = words(station);
    learnSource(table, l, h, NETWORK, TO_PORT | 1, FAR, NOW);
  }
  for (let n = 0; n < MANY; n++) [lo[n], hi[n]] = words(random(MACS));
  const [strangeLo, strangeHi] = words(MACS + 1);
  const each = (work: (n: number) => void) => () => {
    for (let n = 0; n < MANY; n++) work(n);
  };
  return [
    {
      name: 'MAC table: find a known MAC',
      operations: MANY,
      run: each((n) => {
        sink.value ^= findEntry(table, lo[n], macKey(hi[n], NETWORK));
      }),
    },
    {
      name: 'MAC table: miss',
      operations: MANY,
      run: each((n) => {
        sink.value ^= findEntry(table, lo[n], macKey(hi[n], NETWORK + 1));
      }),
    },
    {
      name: 'MAC table: refresh under the lock',
      operations: MANY,
      run: each((n) => {
        sink.value ^= learnSource(table, lo[n], hi[n], NETWORK, TO_PORT | 1, FAR + (n & 1), NOW);
      }),
    },
    {
      // Expired as soon as it is there, so that each round finds it absent.
      name: 'MAC table: learn a new MAC',
      operations: MANY,
      run: each(() => {
        sink.value ^= learnSource(table, strangeLo, strangeHi, NETWORK, TO_PORT | 1, NOW, NOW);
      }),
    },
  ];
}
