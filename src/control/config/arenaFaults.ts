/**
 * Slots that do not fit one arena.
 */
import { type ArenaShape, DEFAULT_SHAPE, isWithinReach } from '../../packet/arena.js';
import type { Located } from './faults.js';
import { record } from './written.js';

/** More slots for all workers than positions below 2^31 bytes have room for. */
export function arenaFaults(root: unknown): Located[] {
  const { arena, workers = 1, workersMax = workers } = record(record(root)?.node) ?? {};
  const { smallSlots = DEFAULT_SHAPE.smallSlots, largeSlots = DEFAULT_SHAPE.largeSlots } = record(arena) ?? {};
  const sizes = { smallSlots, largeSlots, workers: workersMax };
  if (Object.values(sizes).some((size) => typeof size !== 'number')) return [];
  const shape = { ...DEFAULT_SHAPE, ...sizes } as ArenaShape;
  if (isWithinReach(shape)) return [];
  return [
    {
      path: ['node', 'arena'],
      message: `${shape.smallSlots} small and ${shape.largeSlots} large slots for each of ${shape.workers} workers are more than 2 GiB`,
      remedy: `give fewer slots, or room for fewer workers; with as many workers and small slots, at most ${mostLargeSlots(shape)} large ones`,
    },
  ];
}

function mostLargeSlots(shape: ArenaShape): number {
  let [fits, tooMany] = [0, shape.largeSlots];
  while (tooMany - fits > 1) {
    const largeSlots = (fits + tooMany) >> 1;
    if (isWithinReach({ ...shape, largeSlots })) fits = largeSlots;
    else tooMany = largeSlots;
  }
  return fits;
}
