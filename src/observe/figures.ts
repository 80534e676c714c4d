/**
 * Documents of pure figures: drops by reason and place, counters of every entity.
 */
import {
  account,
  type CounterRow,
  DROP_BASE,
  NETWORK_ROW,
  PEER_ROW,
  PORT_ROW,
  ROW_WIDTH,
  ROWS,
  readRow,
  UNDERLAY_ROW,
} from '../packet/counters.js';
import { DROP_REASONS } from '../packet/drop.js';
import type { PeerPlan, Plan } from '../pipeline/plan.js';
import type { CountersDocument, DropDocument, DropsDocument, StatsDocument } from './documents.js';
import type { NodeView } from './view.js';

/** Rows of an entity kind that drops are charged to, with the name that people know. Networks repeat the drops of the others. */
function chargedRows(plan: Plan): { kind: 'port' | 'peer' | 'underlay'; name: string; row: number }[] {
  return [
    ...plan.ports.map((port) => ({ kind: 'port' as const, name: port.name, row: PORT_ROW + port.id })),
    ...plan.peers.map((peer) => ({ kind: 'peer' as const, name: peerName(plan, peer), row: PEER_ROW + peer.id })),
    ...plan.underlays.map((u) => ({ kind: 'underlay' as const, name: u.name, row: UNDERLAY_ROW + u.id })),
  ];
}

export function buildDrops(view: NodeView): DropsDocument {
  const { plan, dataplane } = view;
  const blocks = [...dataplane.counters, view.retired];
  const rows = chargedRows(plan).map((entity) => ({ ...entity, counters: readRow(dataplane.counters, entity.row) }));
  const reasons = DROP_REASONS.flatMap(({ name: reason, text }, number): DropDocument[] => {
    const packets = number === 0 ? 0 : dropsOf(blocks, number);
    if (packets === 0) return [];
    const where: DropDocument['where'] = rows
      .map(({ kind, name, counters }) => ({ kind, name, packets: counters.drops[reason] ?? 0 }))
      .filter((place) => place.packets > 0);
    const removed = packets - where.reduce((sum, place) => sum + place.packets, 0);
    if (removed > 0) where.push({ kind: 'removed', name: '', packets: removed });
    return [{ reason, text, packets, where: where.sort((a, b) => b.packets - a.packets) }];
  });
  const total = reasons.reduce((sum, reason) => sum + reason.packets, 0);
  const inDevices = plan.ports.reduce((sum, { id }) => sum + missedInDevice(view, id), 0);
  const missed = rows.reduce((sum, { counters }) => sum + counters.missed, inDevices);
  return { total, reasons: reasons.sort((a, b) => b.packets - a.packets), missed };
}

/** Packets dropped under one reason. Rows of networks repeat those of ports, peers and underlays. */
function dropsOf(blocks: readonly Float64Array[], reason: number): number {
  let packets = 0;
  for (const block of blocks)
    for (let row = 0; row < ROWS; row++) {
      if (row >= NETWORK_ROW && row < UNDERLAY_ROW) continue;
      packets += block[row * ROW_WIDTH + DROP_BASE + reason];
    }
  return packets;
}

/** What was lost in the queue of a port's device. */
const missedInDevice = ({ devices }: NodeView, port: number) => devices.ports.get(port)?.missed() ?? 0;

export function buildStats(view: NodeView): StatsDocument {
  const { plan, dataplane } = view;
  const { counters } = dataplane;
  return {
    account: account([...counters, view.retired]),
    ports: plan.ports.map((port) => {
      const row = readRow(counters, PORT_ROW + port.id);
      const missed = row.missed + missedInDevice(view, port.id);
      return { name: port.name, network: networkName(plan, port.network), ...countersDocument({ ...row, missed }) };
    }),
    peers: plan.peers.map((peer) => ({
      network: networkName(plan, peer.network),
      address: peer.address,
      ...countersDocument(readRow(counters, PEER_ROW + peer.id)),
    })),
    networks: plan.networks.map(({ id, name }) => ({ name, ...countersDocument(readRow(counters, NETWORK_ROW + id)) })),
    underlays: plan.underlays.map(({ id, name }) => ({
      name,
      ...countersDocument(readRow(counters, UNDERLAY_ROW + id)),
    })),
  };
}

function countersDocument(row: CounterRow): CountersDocument {
  const { lastHeard: _heard, lastErrno: _errno, drops, ...rest } = row;
  return { ...rest, dropped: sumOf(drops), drops };
}

export function sumOf(drops: Record<string, number>): number {
  return Object.values(drops).reduce((sum, n) => sum + n, 0);
}

function peerName(plan: Plan, peer: PeerPlan): string {
  return `${networkName(plan, peer.network)} ${peer.address}`;
}

/** Name of the network with an id. */
export function networkName(plan: Plan, id: number): string {
  return plan.networks.find((network) => network.id === id)?.name ?? '';
}
