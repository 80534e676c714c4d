// The lanes of one burst over an arena of their own, for tests of single steps. Bytes around every frame are 0xa5: what is read or written
// outside of it shows.
import { type Arena, HEADROOM, slotStart } from '../../src/packet/arena.js';
import { type Burst, HAS_GSO, LANES, NEEDS_CSUM } from '../../src/packet/burst.js';
import { type ChecksumKernel, instantiateChecksum } from '../../src/packet/checksum.js';
import { NEXT_EXTENT, NEXT_HEADER, NEXT_MESSAGE, type Outbox } from '../../src/packet/outbox.js';
import type { InboundKernel } from '../../src/pipeline/inboundKernel.js';
import { bindParse } from '../../src/pipeline/parse.js';
import { bindTransport, type Transport } from '../../src/pipeline/transport.js';
import { decode } from './decode.js';
import { join } from './frames.js';
import { makeKernelRig } from './walkKernel.js';

const GUARD = 0xa5;
const GUARD_BYTES = 128;

export interface LaneFields {
  /** From the frame start (0 mod 64). */
  offset?: number;
  flags?: number;
  gsoType?: number;
  gsoSize?: number;
  csumStart?: number;
  csumOffset?: number;
  network?: number;
  outerTos?: number;
  drop?: number;
}

export interface Lanes {
  readonly arena: Arena;
  readonly burst: Burst;
  readonly outbox: Outbox;
  readonly kernel: ChecksumKernel;
  readonly inbound: InboundKernel;
  readonly transport: Transport;
  parse(n: number): void;
  /** The same without the kernel: every lane by the form in TypeScript. */
  parseCarefully(n: number): void;
  /** Puts frames into lanes 0, 1, ... and resets every column. */
  lay(frames: Uint8Array[], fields?: LaneFields | ((i: number) => LaneFields)): void;
  /** The bytes of lane i. */
  frame(i: number): Uint8Array;
  /** Whether the bytes before and behind lane i are untouched; `headroom` bytes in front may have been written. */
  isGuarded(i: number, headroom?: number): boolean;
  /** The bytes of extents first to end of the outbox, one after the other. */
  extents(first: number, end: number): Uint8Array;
  resetOutbox(): void;
}

export function makeLanes(): Lanes {
  const { arena, burst, outbox, kernel: walkKernel, inbound } = makeKernelRig();
  const kernel = instantiateChecksum(arena.memory);
  const { bytes } = arena;
  const guards = new Int32Array(LANES);
  const everyLane = (n: number): number => {
    let left = 0;
    for (let i = 0; i < n; i++) if (burst.drop[i] === 0) burst.careful[left++] = i;
    return left;
  };

  return {
    arena,
    burst,
    outbox,
    kernel,
    inbound,
    transport: bindTransport(arena, burst, kernel),
    parse: bindParse(arena, burst, walkKernel).frames,
    parseCarefully: bindParse(arena, burst, { parse: everyLane }).frames,
    lay(frames, fields = {}) {
      for (const column of Object.values(burst)) column.fill(-0x5a5a5a5);
      frames.forEach((frame, i) => {
        const f = typeof fields === 'function' ? fields(i) : fields;
        const at = slotStart(arena, 1 + i) + (f.offset ?? 0);
        bytes.fill(GUARD, at - HEADROOM, at + frame.length + GUARD_BYTES);
        bytes.set(frame, at);
        guards[i] = frame.length;
        burst.slot[i] = 1 + i;
        burst.at[i] = at;
        burst.len[i] = frame.length;
        burst.packets[i] = 1;
        burst.flags[i] = (f.flags ?? 0) | (f.gsoType ? HAS_GSO : 0);
        burst.gsoType[i] = f.gsoType ?? 0;
        burst.gsoSize[i] = f.gsoSize ?? 0;
        burst.csumStart[i] = f.csumStart ?? 0;
        burst.csumOffset[i] = f.csumOffset ?? 0;
        burst.network[i] = f.network ?? 1;
        burst.outerTos[i] = f.outerTos ?? -1;
        burst.drop[i] = f.drop ?? 0;
        // As a kernel that takes none of them.
        burst.careful[i] = i;
      });
    },
    frame: (i) => bytes.slice(burst.at[i], burst.at[i] + burst.len[i]),
    isGuarded(i, headroom = 0) {
      const end = burst.at[i] + guards[i];
      const before = bytes.subarray(burst.at[i] - HEADROOM, burst.at[i] - headroom);
      return before.every((b) => b === GUARD) && bytes.subarray(end, end + GUARD_BYTES).every((b) => b === GUARD);
    },
    extents(first, end) {
      const parts: Uint8Array[] = [];
      for (let e = first; e < end; e++) {
        parts.push(bytes.slice(outbox.extAt[e], outbox.extAt[e] + outbox.extLen[e]));
      }
      return join(...parts);
    },
    resetOutbox() {
      outbox.cursor[NEXT_MESSAGE] = 0;
      outbox.cursor[NEXT_EXTENT] = 0;
      outbox.cursor[NEXT_HEADER] = outbox.headersAt;
      bytes.fill(GUARD, outbox.headersAt, outbox.headersEnd + 4096);
    },
  };
}

/** What a device says of a frame whose transport checksum it left unfinished. */
export function unfinished(frame: Uint8Array): { flags: number; csumStart: number; csumOffset: number } {
  const d = decode(frame);
  if (d === null || d.l4 === 0) throw new Error('no TCP or UDP frame');
  return { flags: NEEDS_CSUM, csumStart: d.l4, csumOffset: d.protocol === 6 ? 16 : 6 };
}
