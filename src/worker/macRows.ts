import { flushMacs, forEachMac, type MacEntry, type MacTable, setStatic } from '../forward/macTable.js';
import { ID_MASK, TO_PEER, TO_PORT } from '../packet/burst.js';
import { WeftError } from '../packet/error.js';
import type { StaticMacPlan } from '../pipeline/plan.js';
import * as Ethernet from '../wire/ethernet.js';
import { nowSec } from './nodeMemory.js';

/** The MAC table as the control thread sees it. */
export interface MacRow {
  network: number;
  mac: string;
  /** Exactly one of the two is not 0. */
  port: number;
  peer: number;
  isStatic: boolean;
  /** Infinity for a static entry. */
  expiresInSec: number;
  /** The MAC flaps and is held where it is. */
  isHeld: boolean;
}

const isStatic = (entry: { expiresInSec: number }) => entry.expiresInSec === Number.POSITIVE_INFINITY;

export function readMacs(table: MacTable): MacRow[] {
  const rows: MacRow[] = [];
  forEachMac(table, nowSec(), false, (e) => {
    const id = e.value & ID_MASK;
    rows.push({
      network: e.network,
      mac: macText(e),
      port: (e.value & TO_PORT) !== 0 ? id : 0,
      peer: (e.value & TO_PEER) !== 0 ? id : 0,
      isStatic: isStatic(e),
      expiresInSec: e.expiresInSec,
      isHeld: e.isHeld,
    });
  });
  return rows;
}

export interface MacFilter {
  network?: number;
  port?: number;
  peer?: number;
}

/** Forgets learned MACs behind a port or peer, or of a network; returns how many. */
export function forgetMacs(table: MacTable, filter: MacFilter): number {
  const value = filter.port ? TO_PORT | filter.port : filter.peer ? TO_PEER | filter.peer : 0;
  return flushMacs(
    table,
    (e) =>
      (value === 0 || e.value === value) &&
      (filter.network === undefined || e.network === filter.network) &&
      !isStatic(e),
    nowSec(),
  );
}

/** Makes the static entries those of a plan. One that stays is not touched: frames find it while others come and go. */
export function installStatics(table: MacTable, statics: readonly StaticMacPlan[]): void {
  const wanted = new Map(statics.map((s) => [keyOf(s.network, s.mac), { ...s, value: placeOf(s) }]));
  const standing = new Set<string>();
  const isWanted = (e: MacEntry) => wanted.get(keyOf(e.network, macText(e)))?.value === e.value;
  flushMacs(
    table,
    (e) => {
      if (!isStatic(e)) return false;
      const stays = isWanted(e);
      if (stays) standing.add(keyOf(e.network, macText(e)));
      return !stays;
    },
    nowSec(),
  );
  for (const [key, s] of wanted) {
    if (standing.has(key)) continue;
    const words = Ethernet.macWords(s.mac);
    if (words === null) throw new WeftError('CONFIG', `static MAC ${s.mac} is not a MAC address`);
    if (!setStatic(table, words[0], words[1], s.network, s.value)) {
      throw new WeftError('LIMIT', `static MAC ${s.mac}: the MAC table is full`, { remedy: 'lower the mac limits' });
    }
  }
}

const keyOf = (network: number, mac: string) => `${network} ${mac}`;

const placeOf = (s: StaticMacPlan) => (s.port > 0 ? TO_PORT | s.port : TO_PEER | s.peer);

function macText({ lo, hi }: MacEntry): string {
  const bytes = new Uint8Array(6);
  new DataView(bytes.buffer).setUint32(0, lo, true);
  new DataView(bytes.buffer).setUint16(4, hi, true);
  return Ethernet.macToText(bytes, 0);
}
