// Descriptors that a node has open.
import { readdirSync, readlinkSync } from 'node:fs';
import type { WeftNode } from './node.js';
import { sleep } from './waiting.js';

/** Open devices and sockets, without numbers. Threads that come and go have descriptors of their own. */
export function descriptors(node: WeftNode): string[] {
  const folder = `/proc/${node.child.pid}/fd`;
  const targets = readdirSync(folder).map((fd) => {
    try {
      return readlinkSync(`${folder}/${fd}`);
    } catch {
      // Closed meanwhile.
      return '';
    }
  });
  return targets.flatMap((target) => /^(socket:|\/dev\/net\/tun)/.exec(target)?.[0] ?? []).sort();
}

/** Those that stay: the fewest of many looks, as others are open for a moment alone. */
export async function lastingDescriptors(node: WeftNode): Promise<string[]> {
  let fewest = descriptors(node);
  for (let look = 0; look < 20; look++) {
    await sleep(50);
    const now = descriptors(node);
    if (now.length < fewest.length) fewest = now;
  }
  return fewest;
}
