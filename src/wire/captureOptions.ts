/*
 * Options of pcapng blocks that go along with an interface or a packet from one file to another.
 *
 *    0                   1                   2                   3
 *    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |             Code              |            Length             |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |             Value, padded to a multiple of four               |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *
 * What they become is little-endian. Numbers in values are turned round where the known options have them; options nobody here knows stay
 * as they are in files of the same byte order, and are left out otherwise.
 */
import { getOrdered16, setLe16 } from './bytes.js';
import { OPTION_END, OPTION_IF_NAME, OPTION_IF_TIME_OFFSET, OPTION_IF_TIME_RESOLUTION, padded } from './pcapng.js';

const OPTION_IF_TIME_ZONE = 10;
/** Of the data, which may be other data in the other file. */
const OPTION_PACKET_HASH = 3;

/** Custom options (strings and bytes, to be copied or not): a 32-bit number, then anything. */
const CUSTOM = [2988, 2989, 19372, 19373];

/** Bytes of the number at the start of a value; 0 for text and byte strings. */
const PACKET_NUMBERS: Record<number, number> = { 1: 0, 2: 4, 4: 8, 5: 8, 6: 4, 7: 0 };
const INTERFACE_NUMBERS: Record<number, number> = {
  1: 0, // comment
  3: 0, // description
  4: 0, // IPv4 address and mask
  5: 0, // IPv6 address
  6: 0, // MAC
  7: 0, // EUI
  8: 8, // speed
  11: 0, // filter
  12: 0, // operating system
  13: 0, // FCS length
  15: 0, // hardware
  16: 8, // sending speed
  17: 8, // receiving speed
};
for (const code of CUSTOM) {
  PACKET_NUMBERS[code] = 4;
  INTERFACE_NUMBERS[code] = 4;
}

const OPTION_BYTES = 4;
const NOTHING = new Uint8Array(0);

/** Options of a packet block between `at` and `end`, but for the hash of its data. */
export function packetOptions(bytes: Uint8Array, at: number, end: number, little: boolean): Uint8Array {
  return kept(bytes, at, end, little, [OPTION_PACKET_HASH], PACKET_NUMBERS);
}

/** Options of an interface block, but for its name and what its times are. */
export function interfaceOptions(bytes: Uint8Array, at: number, end: number, little: boolean): Uint8Array {
  const own = [OPTION_IF_NAME, OPTION_IF_TIME_RESOLUTION, OPTION_IF_TIME_ZONE, OPTION_IF_TIME_OFFSET];
  return kept(bytes, at, end, little, own, INTERFACE_NUMBERS);
}

/** Options that do not fit end the list, as everywhere. */
function kept(
  bytes: Uint8Array,
  from: number,
  end: number,
  little: boolean,
  left: number[],
  numbers: Record<number, number>,
): Uint8Array {
  if (end - from < OPTION_BYTES) return NOTHING;
  const out = new Uint8Array(end - from);
  let to = 0;
  for (let at = from; end - at >= OPTION_BYTES; ) {
    const code = getOrdered16(bytes, at, little);
    const len = getOrdered16(bytes, at + 2, little);
    const next = at + OPTION_BYTES + padded(len);
    if (code === OPTION_END || next > end) break;
    const number = numbers[code];
    const isKnown = number !== undefined && number <= len;
    if (!left.includes(code) && (little || isKnown)) {
      setLe16(out, to, code);
      setLe16(out, to + 2, len);
      const value = to + OPTION_BYTES;
      // A copy: byte strings as they are, and padding of zeros.
      out.set(bytes.subarray(at + OPTION_BYTES, at + OPTION_BYTES + len), value);
      if (!little && isKnown && number > 0) out.subarray(value, value + number).reverse();
      to = value + padded(len);
    }
    at = next;
  }
  return to === 0 ? NOTHING : out.slice(0, to);
}
