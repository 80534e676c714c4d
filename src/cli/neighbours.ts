import type { Command } from 'commander';
import type { NeighbourDocument } from '../observe/documents.js';
import { duration, table } from './output.js';
import { defineRead } from './readVerb.js';

export function defineNeighbours(program: Command): void {
  defineRead<NeighbourDocument[]>(program, {
    name: 'neighbours',
    path: '/v1/neighbours',
    summary: 'show the IP addresses that the switch answers ARP and neighbour discovery for',
    help: 'Examples:\n  weft neighbours\n  weft neighbours --node left --json',
    text: neighboursText,
  });
}

export function neighboursText(neighbours: NeighbourDocument[]): string {
  if (neighbours.length === 0) return 'no neighbours known yet';
  const rows = neighbours.map((entry) => [
    entry.network,
    entry.address,
    entry.mac,
    entry.port !== null ? `port ${entry.port}` : entry.peer !== null ? `peer ${entry.peer}` : '-',
    `${entry.static ? 'static' : 'learned'}${entry.router ? ', router' : ''}`,
    entry.expiresInSec === null ? 'never' : `in ${duration(entry.expiresInSec)}`,
  ]);
  return table(['NETWORK', 'ADDRESS', 'MAC', 'BEHIND', 'KIND', 'EXPIRES'], rows);
}
