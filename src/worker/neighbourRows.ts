import {
  flushNeighbours,
  forEachNeighbour,
  IS_OVERRIDE,
  IS_ROUTER,
  KNOWS_ROUTER,
  makeNeighbour,
  type NeighbourKey,
  type NeighbourTable,
  setStaticNeighbour,
} from '../forward/neighbourTable.js';
import { ID_MASK, TO_PEER, TO_PORT } from '../packet/burst.js';
import { WeftError } from '../packet/error.js';
import type { NetworkPlan, StaticNeighbourPlan } from '../pipeline/plan.js';
import { addressWords } from '../pipeline/tables.js';
import * as Address from '../wire/address.js';
import * as Ethernet from '../wire/ethernet.js';
import type { MacFilter } from './macRows.js';

/** The neighbour table as the control thread sees it. */
export interface NeighbourRow {
  network: number;
  address: string;
  mac: string;
  /** Where it was heard; both are 0 for a static entry that was not heard yet. */
  port: number;
  peer: number;
  isStatic: boolean;
  /** IPv6: null until it has advertised itself. */
  isRouter: boolean | null;
  /** Infinity for a static entry. */
  expiresInSec: number;
}

function addressText(words: Int32Array): string {
  const bytes = new Uint8Array(words.buffer, words.byteOffset, 16);
  return Address.isMapped(bytes, 0) ? Address.ipv4ToText(bytes, 12) : Address.ipv6ToText(bytes, 0);
}

function macText(lo: number, hi: number): string {
  return Ethernet.macToText(Uint8Array.of(lo, lo >>> 8, lo >>> 16, lo >>> 24, hi, hi >>> 8), 0);
}

export function readNeighbours(table: NeighbourTable | null, now: number): NeighbourRow[] {
  const rows: NeighbourRow[] = [];
  if (table === null) return rows;
  forEachNeighbour(table, now, false, (e) => {
    const address = addressText(e.words);
    const id = e.place & ID_MASK;
    const isRouter = address.includes(':') && (e.flags & KNOWS_ROUTER) !== 0 ? (e.flags & IS_ROUTER) !== 0 : null;
    rows.push({
      network: e.network,
      address,
      mac: macText(e.lo, e.hi),
      port: (e.place & TO_PORT) !== 0 ? id : 0,
      peer: (e.place & TO_PEER) !== 0 ? id : 0,
      isStatic: e.isStatic,
      isRouter,
      expiresInSec: e.expiresInSec,
    });
  });
  return rows;
}

/** Forgets learned neighbours behind a port or peer, or of a network; returns how many. */
export function forgetNeighbours(table: NeighbourTable | null, filter: MacFilter): number {
  if (table === null) return 0;
  const place = filter.port ? TO_PORT | filter.port : filter.peer ? TO_PEER | filter.peer : 0;
  return flushNeighbours(
    table,
    (e) =>
      !e.isStatic &&
      (place === 0 || e.place === place) &&
      (filter.network === undefined || e.network === filter.network),
  );
}

/** Sets what networks learn at most; what those know that answer no more is forgotten. */
export function limitNeighbours(table: NeighbourTable | null, networks: readonly NetworkPlan[]): void {
  if (table === null) return;
  for (const { id, neighbourLimit } of networks) {
    const hasEnded = neighbourLimit === 0 && table.limits[id] > 0;
    table.limits[id] = neighbourLimit;
    if (hasEnded) forgetNeighbours(table, { network: id });
  }
}

/** Makes the static entries those of a plan. Those that stay keep where they were heard. */
export function installNeighbours(table: NeighbourTable | null, statics: readonly StaticNeighbourPlan[]): void {
  if (table === null) return;
  const keyOf = (network: number, words: Int32Array) => `${network} ${words.join()}`;
  const wanted = new Map(
    statics.map((s) => {
      const words = addressWords(s.address);
      const mac = Ethernet.macWords(s.mac);
      if (words === null || mac === null)
        throw new WeftError('CONFIG', `static neighbour ${s.address} with MAC ${s.mac} is not an address and a MAC`);
      const key: NeighbourKey = { words, network: s.network };
      const flags = KNOWS_ROUTER | IS_OVERRIDE | (s.isRouter ? IS_ROUTER : 0);
      return [keyOf(s.network, words), { key, claim: { ...makeNeighbour(), lo: mac[0], hi: mac[1], flags }, s }];
    }),
  );
  flushNeighbours(table, (e) => {
    if (!e.isStatic) return false;
    const name = keyOf(e.network, e.words);
    const same = wanted.get(name)?.claim;
    if (same === undefined || same.lo !== e.lo || same.hi !== e.hi || same.flags !== e.flags) return true;
    wanted.delete(name);
    return false;
  });
  for (const { key, claim, s } of wanted.values()) {
    if (!setStaticNeighbour(table, key, claim))
      throw new WeftError('LIMIT', `static neighbour ${s.address}: the neighbour table is full`, {
        remedy: 'restart the node, which makes room for all that is configured, or lower neighbourLimit',
      });
  }
}
