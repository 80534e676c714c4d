/**
 * Cuts a pcapng stream that arrives in pieces into whole blocks, and counts its packets.
 */
import * as Pcapng from '../wire/pcapng.js';

const LITTLE = true;
/** No block of a capture comes near this; a stream that claims one is not pcapng. */
const BLOCK_BYTES_MAX = 16 * 1024 * 1024;

export interface BlockReader {
  /** Takes a piece; returns the blocks that are whole now. */
  push(piece: Buffer): Buffer;
  readonly packets: number;
  /** Frames that passed and are not in the stream, as its statistics say. */
  readonly lost: number;
}

export function createBlockReader(): BlockReader {
  let waiting: Buffer = Buffer.alloc(0);
  let packets = 0;
  let lost = 0;
  return {
    push(piece) {
      waiting = waiting.length === 0 ? piece : Buffer.concat([waiting, piece]);
      let at = 0;
      while (waiting.length - at >= Pcapng.BLOCK_BYTES_MIN) {
        const size = Pcapng.blockBytes(waiting, at, LITTLE);
        if (size < Pcapng.BLOCK_BYTES_MIN || size > BLOCK_BYTES_MAX) throw new Error('the stream is not pcapng');
        if (waiting.length - at < size) break;
        const type = Pcapng.blockType(waiting, at, LITTLE);
        if (type === Pcapng.BLOCK_PACKET) packets++;
        if (type === Pcapng.BLOCK_STATISTICS) lost = droppedIn(waiting, at, size);
        at += size;
      }
      const whole = waiting.subarray(0, at);
      waiting = waiting.subarray(at);
      return whole;
    },
    get packets() {
      return packets;
    },
    get lost() {
      return lost;
    },
  };
}

function droppedIn(bytes: Buffer, at: number, size: number): number {
  const option = Pcapng.optionAt(bytes, at + 20, at + size - 4, LITTLE, Pcapng.OPTION_STATISTICS_DROPPED);
  return option < 0 ? 0 : Number(bytes.readBigUInt64LE(Pcapng.optionValueAt(option)));
}
