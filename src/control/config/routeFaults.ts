/**
 * Checks across networks that share something: bridges, and the prefixes of routed networks.
 */
import { bridgePairs, createDomains, type Domains, domainsOf } from '../plan/bridges.js';
import { modeOf } from './encapsulation.js';
import type { Located, Path } from './faults.js';
import { DEFAULT_PREFIXES } from './prefixes.js';
import { canonicalPrefix, quote } from './text.js';
import { type Item, items, namesOf, peersOf, record, suggest } from './written.js';

/** Faults of `bridge`. */
export function bridgeFaults(root: unknown, networks: Item[]): Located[] {
  const pairs = bridgePairs(record(root)?.bridge);
  if (pairs === null)
    return [
      {
        path: ['bridge'],
        message: '`bridge` is neither a pair of networks nor a list of pairs',
        remedy: 'write [a, b], or [[a, b], [c, d]]',
      },
    ];
  const names = namesOf(networks);
  const joined = createDomains();
  return pairs.flatMap(({ path, names: pair }): Located[] => {
    const [a, b] = pair;
    const unknown = pair.find((name) => !names.includes(name));
    if (unknown !== undefined)
      return [{ path, message: `there is no network ${quote(unknown)}`, remedy: suggest(unknown, names, 'networks') }];
    if (a === b) return [{ path, message: `network ${quote(a)} is bridged with itself`, remedy: 'name two networks' }];
    const modes = pair.map((name) => modeOf(networks.find((n) => n.value.name === name)!.value));
    const routed = modes.indexOf('xconnect');
    if (routed >= 0)
      return [
        {
          path,
          message: `network ${quote(pair[routed])} is of mode xconnect: all that comes in has its one way out`,
          remedy: 'use mode l2 for it',
        },
      ];
    if (modes[0] !== modes[1])
      return [
        {
          path,
          message: `networks ${quote(a)} (${modes[0]}) and ${quote(b)} (${modes[1]}) are of different modes`,
          remedy: 'bridge l2 with l2 or l3 with l3',
        },
      ];
    if (!joined.join(a, b))
      return [
        {
          path,
          message: `networks ${quote(a)} and ${quote(b)} are joined already: frames would go round`,
          remedy: 'remove this pair',
        },
      ];
    return [];
  });
}

/** A peer that two bridged networks both have gets every flooded frame twice, and sends it back into the other network: a loop. */
export function bridgeLoops(root: unknown, networks: Item[]): Located[] {
  const domains = domainsOf(record(root)?.bridge);
  const faults: Located[] = [];
  for (const [i, network] of networks.entries()) {
    const joined = domains.of(String(network.value.name));
    for (const { path, address } of peersOf(network)) {
      const other = networks
        .slice(0, i)
        .find((n) => joined.has(String(n.value.name)) && peersOf(n).some((peer) => peer.address === address));
      if (other)
        faults.push({
          path,
          message: `peer ${address} is also in network ${quote(String(other.value.name))}, which this one is bridged with: a loop`,
          remedy: 'list it in one of the two networks',
        });
    }
  }
  return faults;
}

/** Prefixes of routed networks: one place each, and every port has some. */
export function prefixFaults(root: unknown, networks: Item[]): Located[] {
  const domains = domainsOf(record(root)?.bridge);
  const routed = networks.filter((network) => modeOf(network.value) === 'l3');
  return [...doublePrefixes(routed, domains), ...routed.flatMap((network) => portsWithout(network, routed, domains))];
}

/** Prefixes as they are written, in the one form, with their places. */
function prefixesOf({ path, value }: Item, key: 'ports' | 'peers'): { path: Path; prefix: string; of: string }[] {
  return items(value, path, key).flatMap((entry) => {
    const list = Array.isArray(entry.value.prefixes) ? entry.value.prefixes : [];
    const of = key === 'ports' ? `port ${quote(String(entry.value.name))}` : `peer ${String(entry.value.address)}`;
    return list.flatMap((prefix: unknown, i) => {
      const canonical = typeof prefix === 'string' ? canonicalPrefix(prefix) : null;
      return canonical === null ? [] : [{ path: [...entry.path, 'prefixes', i], prefix: canonical, of }];
    });
  });
}

function doublePrefixes(networks: Item[], domains: Domains): Located[] {
  const faults: Located[] = [];
  const seen = new Map<string, string>();
  for (const network of networks) {
    const domain = [...domains.of(String(network.value.name))].sort().join(' ');
    for (const { path, prefix, of } of [...prefixesOf(network, 'ports'), ...prefixesOf(network, 'peers')]) {
      const first = seen.get(`${domain}/${prefix}`);
      if (first === undefined) seen.set(`${domain}/${prefix}`, of);
      else
        faults.push({
          path,
          message: `${prefix} is behind ${first} already`,
          remedy: 'give each prefix one place; a longer prefix may lie inside of a shorter one',
        });
    }
  }
  return faults;
}

/** Ports that nothing would be routed to. */
function portsWithout(network: Item, routed: Item[], domains: Domains): Located[] {
  const joined = domains.of(String(network.value.name));
  const domain = routed.filter((other) => joined.has(String(other.value.name)));
  const count = domain.reduce((sum, other) => sum + items(other.value, other.path, 'ports').length, 0);
  const taken = domain.flatMap((other) => prefixesOf(other, 'peers')).map(({ prefix }) => prefix);
  const isAllTaken = DEFAULT_PREFIXES.some((prefix) => taken.includes(prefix));
  return items(network.value, network.path, 'ports').flatMap(({ path, value }) => {
    if (value.prefixes !== undefined || (count === 1 && !isAllTaken)) return [];
    const why = count === 1 ? 'a peer has the default route' : `it is one of ${count} ports`;
    return [
      {
        path,
        message: `nothing is routed to port ${quote(String(value.name))}: ${why}`,
        remedy: 'give it `prefixes`, like prefixes: [10.42.1.0/24]',
      },
    ];
  });
}
