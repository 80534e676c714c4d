/**
 * Room for route tables in the shared memory of a node, which is made once and never grows.
 */
import { buildRouteTable } from '../../forward/routeTable.js';
import { TO_PEER } from '../../packet/burst.js';
import * as Address from '../../wire/address.js';
import type { Config } from '../config/config.js';
import { modeOf } from '../config/encapsulation.js';
import { prefixSources } from '../config/prefixes.js';
import { domainsOf } from './bridges.js';

/** Different values that the routes are taken to have. */
const VALUES = 1000;
/** Room that every table has for routes that come later. */
const SPARE_BYTES = 64 * 1024;

/**
 * Bytes for two tables, the one in use and the next, each twice as large as the routes at the start need, and with room for networks of
 * mode l3 that come later.
 */
export function routeBytesOf(config: Config): number {
  return 2 * (2 * tableBytesOf(config) + SPARE_BYTES);
}

/** Whether the routes of a configuration fit the room that a node was started with. */
export function routesFit(config: Config, routeBytes: number): boolean {
  return 2 * tableBytesOf(config) <= routeBytes;
}

function tableBytesOf(config: Config): number {
  if (config.networks.every((network) => modeOf(network) !== 'l3')) return 0;
  const ids = new Map(config.networks.map(({ name }, i) => [name, i + 1]));
  const sources = prefixSources(config, domainsOf(config.bridge));
  const table = buildRouteTable(
    sources.map(({ network, prefix }, i) => ({
      network: ids.get(network)!,
      prefix: Address.cidrFromText(prefix)!,
      // Neighbours of one value would share an entry, and the ids are not known yet.
      value: TO_PEER | (1 + (i % VALUES)),
    })),
  );
  return table.byteLength;
}
