import type { Command } from 'commander';
import type { MacDocument } from '../observe/documents.js';
import { duration, table } from './output.js';
import { defineRead } from './readVerb.js';

export function defineMac(program: Command): void {
  defineRead<MacDocument[]>(program, {
    name: 'mac',
    path: '/v1/mac',
    summary: 'show the stations that the switch knows and where they are',
    help: 'Examples:\n  weft mac\n  weft mac --node left --json',
    text: macText,
  });
}

export function macText(macs: MacDocument[]): string {
  if (macs.length === 0) return 'no MACs known yet';
  const rows = macs.map((entry) => [
    entry.network,
    entry.mac,
    entry.port === null ? `peer ${entry.peer ?? '(removed)'}` : `port ${entry.port}`,
    entry.static ? 'static' : entry.held ? 'held' : 'learned',
    entry.expiresInSec === null ? 'never' : `in ${duration(entry.expiresInSec)}`,
  ]);
  return table(['NETWORK', 'MAC', 'BEHIND', 'KIND', 'EXPIRES'], rows);
}
