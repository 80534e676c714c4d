// What capture devices are bound to, without a pipeline around it.
import { attachArena, columnAllocator, createArenaMemory, DEFAULT_SHAPE } from '../../src/packet/arena.js';
import { createBurst, LANES } from '../../src/packet/burst.js';
import { bindOutbox, columnsBehindIo, ioBlock } from '../../src/packet/outbox.js';
import { bindSlots, createSlotState, fillWindow } from '../../src/packet/slots.js';
import type { CaptureContext } from '../../src/port/captureKernel.js';

export function makeCaptureContext(largeSlots = 72): CaptureContext {
  const shape = { ...DEFAULT_SHAPE, workers: 1, smallSlots: 1, largeSlots, captureBytes: 4096, macBytes: 65536 };
  const arena = attachArena(createArenaMemory(shape), shape);
  const allocate = columnAllocator(arena, 0, columnsBehindIo(arena, 0));
  const burst = createBurst(allocate);
  const { headersAt, headersEnd } = arena.partitions[0];
  const outbox = bindOutbox(ioBlock(arena, 0), allocate, headersAt + 64, headersEnd);
  const pool = bindSlots(shape, createSlotState(shape), 0).large;
  return { arena, allocate, burst, outbox, window: fillWindow(arena, pool, LANES), pool };
}
