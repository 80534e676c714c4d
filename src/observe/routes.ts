/**
 * Routes of a plan as documents, and where an address goes.
 */
import type { Plan, RoutePlan } from '../pipeline/plan.js';
import * as Address from '../wire/address.js';
import type { RouteDocument } from './documents.js';
import { networkName } from './figures.js';

/** All routes, by network and prefix; IPv4 before IPv6. */
export function buildRoutes(plan: Plan): RouteDocument[] {
  const document = documentOf(plan);
  return plan.routes
    .map((route) => ({ document: document(route), key: keyOf(route.prefix) }))
    .sort((a, b) => a.document.network.localeCompare(b.document.network) || (a.key < b.key ? -1 : 1))
    .map(({ document }) => document);
}

/** The route of an address in a network: that of the longest prefix. Reads the plan, not what workers have compiled of it. */
export function findRoute(plan: Plan, network: string, address: string): RouteDocument | null {
  const wanted = Address.fromText(address);
  const domain = plan.networks.find((n) => n.name === network)?.domain;
  let best: RoutePlan | null = null;
  let bestLength = -1;
  for (const route of plan.routes) {
    const cidr = Address.cidrFromText(route.prefix);
    if (route.network !== domain || wanted === null || cidr?.address.length !== wanted.length) continue;
    if (cidr.prefixLength <= bestLength) continue;
    if (!Address.samePrefix(wanted, 0, cidr.address, 0, cidr.prefixLength)) continue;
    best = route;
    bestLength = cidr.prefixLength;
  }
  return best === null ? null : documentOf(plan)(best);
}

function documentOf(plan: Plan): (route: RoutePlan) => RouteDocument {
  const ports = new Map(plan.ports.map((port) => [port.id, port]));
  const peers = new Map(plan.peers.map((peer) => [peer.id, peer]));
  return (route) => {
    const port = ports.get(route.port);
    const peer = peers.get(route.peer);
    return {
      network: networkName(plan, port?.network ?? peer?.network ?? route.network),
      prefix: route.prefix,
      port: port?.name ?? null,
      peer: peer?.address ?? null,
      direct: peer?.direct ?? false,
    };
  };
}

/** Sorts prefixes by family, address and length. */
function keyOf(prefix: string): string {
  const cidr = Address.cidrFromText(prefix);
  if (cidr === null) return prefix;
  return (
    `${cidr.address.length}`.padStart(2, '0') +
    Buffer.from(cidr.address).toString('hex') +
    String(cidr.prefixLength).padStart(3, '0')
  );
}
