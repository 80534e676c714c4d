/**
 * What a question about routes must name: a network of mode l3 and an address.
 */
import { WeftError } from '../../packet/error.js';
import type { Plan } from '../../pipeline/plan.js';
import { familyOf } from '../config/text.js';

/** Throws when there is no such network, it is not routed, or the address is none. */
export function requireRouted(plan: Plan, network: string, address: string): void {
  const found = plan.networks.find((n) => n.name === network);
  const routed = plan.networks.filter((n) => n.mode === 'l3').map((n) => n.name);
  const remedy = routed.length > 0 ? `networks of mode l3: ${routed.join(', ')}` : 'the node has none of mode l3';
  if (!found)
    throw new WeftError('USAGE', `there is no network ${JSON.stringify(network)}`, { object: network, remedy });
  if (found.mode !== 'l3')
    throw new WeftError('USAGE', `network ${network} is of mode ${found.mode} and has no routes`, {
      object: `network ${network}`,
      remedy,
    });
  if (familyOf(address) === 0)
    throw new WeftError('USAGE', `${JSON.stringify(address)} is not an IP address`, {
      object: `network ${network}`,
      remedy: 'give an address without a prefix length',
    });
}
