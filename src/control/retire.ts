/**
 * Counter rows of ids that are given again. The figures of the entity that is gone move to row 0 of a block that control keeps, so that
 * the account of the node still balances, and the fresh entity starts at zero.
 */
import {
  clearRow,
  LAST_ERRNO,
  LAST_HEARD,
  NETWORK_ROW,
  PEER_ROW,
  PORT_ROW,
  ROW_WIDTH,
  UNDERLAY_ROW,
} from '../packet/counters.js';
import type { UnusedIds } from './plan/ids.js';
import type { PlanDiff } from './plan/plan.js';

export function retireRows(
  blocks: readonly Float64Array[],
  retired: Float64Array,
  added: Pick<PlanDiff, 'portsAdded' | 'peersAdded' | 'networksAdded' | 'underlaysAdded'>,
  unused: UnusedIds,
): void {
  for (const { id } of added.portsAdded) if (id < unused.ports) retireRow(blocks, retired, PORT_ROW + id, PORT_ROW);
  for (const { id } of added.peersAdded) if (id < unused.peers) retireRow(blocks, retired, PEER_ROW + id, PEER_ROW);
  for (const { id } of added.underlaysAdded)
    if (id < unused.underlays) retireRow(blocks, retired, UNDERLAY_ROW + id, UNDERLAY_ROW);
  // Rows of networks repeat what the others say.
  for (const { id } of added.networksAdded) if (id < unused.networks) clearRow(blocks, NETWORK_ROW + id);
}

function retireRow(blocks: readonly Float64Array[], retired: Float64Array, row: number, into: number): void {
  for (const block of blocks)
    for (let i = 0; i < ROW_WIDTH; i++) {
      const isGauge = i === LAST_HEARD || i === LAST_ERRNO;
      if (!isGauge) retired[into * ROW_WIDTH + i] += block[row * ROW_WIDTH + i];
    }
  clearRow(blocks, row);
}
