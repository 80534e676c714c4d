/**
 * How many workers a node has, and how many it can be brought to while it runs.
 */
import type { RestartDocument } from '../observe/documents.js';
import type { Config } from './config/config.js';
import type { Located } from './config/faults.js';
import { record } from './config/written.js';

/** Workers that a node which is started with this configuration has room for. */
export function workersMaxOf({ node }: Config): number {
  return node.workersMax ?? node.workers;
}

/** Room for fewer workers than there are to be. */
export function workersFaults(root: unknown): Located[] {
  const { workers = 1, workersMax } = record(record(root)?.node) ?? {};
  if (typeof workers !== 'number' || typeof workersMax !== 'number' || workersMax >= workers) return [];
  return [
    {
      path: ['node', 'workersMax'],
      message: `${workers} workers are more than workersMax allows, ${workersMax}`,
      remedy: `give at least ${workers}, or leave it out`,
    },
  ];
}

/** What a running node with room for `room` workers cannot take of a configuration. */
export function workersRestart(before: Config, after: Config, room: number): RestartDocument[] {
  const [from, to] = [before.node.workers, after.node.workers];
  const most = after.node.workersMax ?? null;
  const why = `each worker has a part of the memory, which was made for ${room} (node.workersMax)`;
  if (to > room) return [{ setting: 'node.workers', from, to, why }];
  if (most === null || most <= room) return [];
  return [{ setting: 'node.workersMax', from: before.node.workersMax ?? null, to: most, why }];
}
