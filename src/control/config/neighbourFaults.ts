/**
 * Faults in what a network is configured with for IP neighbours.
 */
import { modeOf } from './encapsulation.js';
import type { Located } from './faults.js';
import { canonicalAddress } from './text.js';
import { type Item, isEmpty, items } from './written.js';

export function neighbourFaults({ path, value }: Item): Located[] {
  const faults: Located[] = [];
  const mode = modeOf(value);
  const hasStatics = !isEmpty(value.staticNeighbours);
  if (mode !== 'l2' && value.suppressNeighbours === true)
    faults.push({
      path: [...path, 'suppressNeighbours'],
      message: `a network of mode ${mode} looks into no ARP`,
      remedy: 'remove it',
    });
  if (mode !== 'l2' && hasStatics)
    faults.push({
      path: [...path, 'staticNeighbours'],
      atKey: true,
      message: `a network of mode ${mode} looks into no ARP`,
      remedy: 'remove it',
    });
  if (mode === 'l2' && hasStatics && value.suppressNeighbours === false)
    faults.push({
      path: [...path, 'staticNeighbours'],
      atKey: true,
      message: 'static neighbours count only where the node answers for neighbours',
      remedy: 'remove them, or suppressNeighbours: false',
    });
  const seen = new Set<string>();
  for (const { path: place, value: entry } of items(value, path, 'staticNeighbours')) {
    if (typeof entry.address !== 'string') continue;
    const address = canonicalAddress(entry.address);
    if (seen.has(address))
      faults.push({
        path: [...place, 'address'],
        message: `${address} has a MAC already`,
        remedy: 'remove one of the two entries',
      });
    seen.add(address);
  }
  return faults;
}
