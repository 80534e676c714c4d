import type { Route } from '../../dist/forward/routeTable.js';
import { TO_PEER } from '../../dist/packet/burst.js';
import { clearHostBits } from '../../dist/wire/address.js';

export type Family = 'IPv4' | 'IPv6';

export const ADDRESS_BYTES: Record<Family, number> = { IPv4: 4, IPv6: 16 };
/** The network that all routes are of. */
export const NETWORK = 1;
const PEERS = 1000;

/** How often each prefix length comes in the public routing tables of these years, in thousandths. */
const LENGTHS: Record<Family, [length: number, share: number][]> = {
  IPv4: [
    [12, 1],
    [14, 1],
    [15, 2],
    [16, 14],
    [17, 8],
    [18, 14],
    [19, 24],
    [20, 43],
    [21, 51],
    [22, 112],
    [23, 105],
    [24, 625],
  ],
  IPv6: [
    [28, 2],
    [29, 33],
    [32, 160],
    [36, 38],
    [40, 65],
    [44, 62],
    [46, 25],
    [48, 615],
  ],
};

type Random = (below: number) => number;

/** An address where routes may lie: 1.0.0.0 to 223.255.255.255, 2000::/4. */
export function randomAddress(family: Family, random: Random): Uint8Array {
  const address = new Uint8Array(ADDRESS_BYTES[family]);
  for (let i = 0; i < address.length; i++) address[i] = random(256);
  address[0] = family === 'IPv4' ? 1 + (address[0] % 223) : 0x20 | (address[0] & 15);
  return address;
}

function randomLength(family: Family, random: Random): number {
  let left = random(1000);
  for (const [length, share] of LENGTHS[family]) {
    if (left < share) return length;
    left -= share;
  }
  throw new Error('the shares are thousandths');
}

/** Different prefixes, spread over the whole address space: less of it is shared than in a real table, so fewer nodes serve two of them. */
export function randomRoutes(family: Family, count: number, random: Random): Route[] {
  const routes = new Map<string, Route>();
  while (routes.size < count) {
    const prefix = clearHostBits({
      address: randomAddress(family, random),
      prefixLength: randomLength(family, random),
    });
    const key = `${prefix.address}/${prefix.prefixLength}`;
    if (!routes.has(key)) routes.set(key, { network: NETWORK, prefix, value: TO_PEER | (1 + random(PEERS)) });
  }
  return [...routes.values()];
}

/** A random address in one of the prefixes. */
export function addressWithin(route: Route, random: Random): Uint8Array {
  const { address, prefixLength } = route.prefix;
  const inside = address.slice();
  for (let i = prefixLength >>> 3; i < inside.length; i++) {
    const free = i === prefixLength >>> 3 ? 0xff >>> (prefixLength & 7) : 0xff;
    inside[i] |= random(256) & free;
  }
  return inside;
}
