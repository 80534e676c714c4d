import type { Command } from 'commander';
import type { PathDocument, StatusDocument } from '../observe/documents.js';
import { age, count, duration, plural, table } from './output.js';
import { LIVENESS_HEADER, livenessCells, nextHopText, peerText } from './peers.js';
import { defineRead } from './readVerb.js';
import { accountText } from './stats.js';

export function defineStatus(program: Command): void {
  defineRead<StatusDocument>(program, {
    name: 'status',
    path: '/v1/status',
    summary: 'show a running node: packet path in use and why, ports, peers, what wants attention',
    help: 'Examples:\n  weft status\n  weft status --node left\n  weft status --json | jq .hints',
    text: statusText,
  });
}

export function statusText(status: StatusDocument): string {
  const parts = [
    nodeLines(status),
    status.underlays.map(underlayLines).join('\n'),
    networkTable(status),
    portTable(status),
    peerTable(status),
    accountText(status.account),
    hintLines(status),
  ];
  return parts.filter((part) => part !== '').join('\n\n');
}

function nodeLines({ node, workers, slots }: StatusDocument): string {
  const asleep = workers.filter((worker) => worker.isSleeping).length;
  const restarts = workers.reduce((sum, worker) => sum + worker.restarts, 0);
  const cpus = workers.flatMap(({ cpu }) => cpu ?? []);
  const places = cpus.length > 0 ? ` on CPU ${cpus.join(', ')}` : '';
  return [
    `node ${node.name}  ${node.state} for ${duration(node.uptimeSec)}  (weft ${node.version}, pid ${node.pid})`,
    `  workers  ${workers.length}${places}, ${asleep} asleep, ${plural(restarts, 'restart')}`,
    `  arena    ${count(slots.total)} slots, ${count(slots.held)} held`,
    ...(node.socket ? [`  control  ${node.socket}`] : []),
  ].join('\n');
}

function underlayLines(underlay: StatusDocument['underlays'][number]): string {
  const device = underlay.device
    ? ` on ${underlay.device}${underlay.deviceMtu ? ` (MTU ${underlay.deviceMtu})` : ''}`
    : '';
  const checksum = underlay.checksum ? 'checksums on' : 'checksums off';
  const settings = underlay.kind === 'raw' ? '' : `, ${checksum}`;
  return [
    `underlay ${underlay.name}  ${underlay.address} ${underlay.transport}${device}${settings}`,
    ...pathLines(underlay.path, { send: 'UDP_SEGMENT', receive: 'UDP_GRO' }),
  ].join('\n');
}

/** `send  superframes (UDP_SEGMENT)`, and under it why it is not faster. */
export function pathLines(path: PathDocument, by: { send: string; receive: string }): string[] {
  const use = (what: PathDocument['send'], name: string) => (what === 'superframes' ? `superframes (${name})` : what);
  return [
    `  send     ${use(path.send, by.send)}`,
    `  receive  ${use(path.receive, by.receive)}`,
    ...path.reasons.map(({ reason, remedy }) => `  because  ${reason}${remedy ? `; ${remedy}` : ''}`),
  ];
}

function networkTable({ networks }: StatusDocument): string {
  const rows = networks.map((n) => [
    n.name,
    n.mode,
    n.encapsulation,
    n.id === null ? null : String(n.id),
    n.underlays.length > 0 ? n.underlays.join(', ') : null,
    n.mtuAuto ? `${n.mtu} auto` : String(n.mtu),
    n.ports,
    n.peers,
    n.mode === 'l3'
      ? plural(n.routes, 'route')
      : n.mode === 'l2'
        ? `${count(n.macs)} of ${count(n.macLimit)} MACs${n.neighbourLimit > 0 ? `, ${plural(n.neighbours, 'neighbour')}` : ''}`
        : null,
  ]);
  const header = ['NETWORK', 'MODE', 'TUNNEL', 'ID', 'UNDERLAY', 'MTU', 'PORTS', 'PEERS', 'KNOWS'];
  const bridged = networks.flatMap(({ name, bridgedWith }) =>
    bridgedWith.length > 0 ? [`  network ${name}: bridged with ${bridgedWith.join(', ')}`] : [],
  );
  return [table(header, rows), ...bridged].join('\n');
}

/** `TSO, USO`: the superframes that a port's device gives and takes. */
export function superframesOf({ offloads }: StatusDocument['ports'][number]): string {
  return offloads
    .filter((name) => name !== 'checksum')
    .map((name) => name.toUpperCase())
    .join(', ');
}

function portPath(port: StatusDocument['ports'][number]): string {
  const sorts = superframesOf(port);
  return sorts === '' || port.path.receive !== 'superframes' ? port.path.receive : `${port.path.receive} (${sorts})`;
}

function portState({ loss, machine, deviceState }: StatusDocument['ports'][number]): string | null {
  if (loss !== null) return loss.what === 'server' ? 'waiting' : 'gone';
  if (machine !== null) return { absent: 'waiting', silent: 'silent', running: 'up' }[machine.state];
  return deviceState;
}

function portTable({ ports }: StatusDocument): string {
  if (ports.length === 0) return '';
  const rows = ports.map((port) => [
    port.name,
    port.network,
    port.type,
    portState(port),
    port.device === null
      ? null
      : port.netns === null
        ? port.device
        : `${port.device} in ${port.netns.replace('/run/netns/', '')}`,
    port.mac,
    String(port.mtu),
    portPath(port),
    port.rxPackets,
    port.txPackets,
    port.dropped,
  ]);
  const header = ['PORT', 'NETWORK', 'TYPE', 'STATE', 'DEVICE', 'MAC', 'MTU', 'PATH', 'RECEIVED', 'SENT', 'DROPPED'];
  const reasons = ports.flatMap((port) =>
    port.path.reasons.map(({ reason, remedy }) => `  port ${port.name}: ${reason}${remedy ? `; ${remedy}` : ''}`),
  );
  return [table(header, rows), ...reasons].join('\n');
}

function peerTable({ peers }: StatusDocument): string {
  if (peers.length === 0) return '';
  const hasHeartbeats = peers.some((peer) => peer.liveness !== null);
  const hasNextHops = peers.some((peer) => peer.nextHop !== null);
  const rows = peers.map((peer) => [
    peerText(peer),
    peer.network,
    ...(hasHeartbeats ? livenessCells(peer) : []),
    ...(hasNextHops ? [nextHopText(peer)] : []),
    age(peer.lastHeardSec),
    peer.rxPackets,
    peer.txPackets,
    peer.failedSends,
    peer.lastError,
  ]);
  const more = [...(hasHeartbeats ? LIVENESS_HEADER : []), ...(hasNextHops ? ['NEXT HOP'] : [])];
  return table(['PEER', 'NETWORK', ...more, 'LAST HEARD', 'RECEIVED', 'SENT', 'FAILED', 'LAST ERROR'], rows);
}

function hintLines({ hints }: StatusDocument): string {
  if (hints.length === 0) return '';
  return ['attention:', ...hints.map((hint) => `  ${hint.object}: ${hint.message}\n      ${hint.remedy}`)].join('\n');
}
