import type { Command } from 'commander';
import type { CountersDocument, StatsDocument } from '../observe/documents.js';
import { bytes, count, table } from './output.js';
import { defineRead } from './readVerb.js';

export function defineStats(program: Command): void {
  defineRead<StatsDocument>(program, {
    name: 'stats',
    path: '/v1/stats',
    summary: 'show the counters of ports, peers, networks and underlays',
    help: 'Packets are wire packets: a superframe counts its segments.\n\nExamples:\n  weft stats\n  weft stats --json',
    text: statsText,
  });
}

export function statsText(stats: StatsDocument): string {
  const rows = [
    ...stats.ports.map((port) => counterRow('port', port.name, port)),
    ...stats.peers.map((peer) => counterRow('peer', `${peer.network} ${peer.address}`, peer)),
    ...stats.underlays.map((underlay) => counterRow('underlay', underlay.name, underlay)),
  ];
  const header = [
    'KIND',
    'NAME',
    'RX PACKETS',
    'RX BYTES',
    'RX SUPER',
    'TX PACKETS',
    'TX BYTES',
    'TX SUPER',
    'DROPPED',
    'MISSED',
  ];
  return `${table(header, rows)}\n\n${accountText(stats.account)}`;
}

function counterRow(kind: string, name: string, c: CountersDocument) {
  return [
    kind,
    name,
    c.rxPackets,
    bytes(c.rxBytes),
    c.rxSuperframes,
    c.txPackets,
    bytes(c.txBytes),
    c.txSuperframes,
    c.dropped,
    c.missed,
  ];
}

/** `received 12 + copied 1 + made 0 = sent 12 + dropped 1 + consumed 0 + held 0` */
export function accountText(a: StatsDocument['account']): string {
  const side = (parts: [string, number][]) => parts.map(([word, n]) => `${word} ${count(n)}`).join(' + ');
  const came = side([
    ['received', a.received],
    ['copied', a.copied],
    ['made', a.made],
  ]);
  const went = side([
    ['sent', a.sent],
    ['dropped', a.dropped],
    ['consumed', a.consumed],
    ['held', a.held],
  ]);
  return `account: ${came} = ${went}`;
}
