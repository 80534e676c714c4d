/** Bytes of hexadecimal digits; spaces and line ends may stand between them. */
export function hex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text.replace(/\s+/g, ''), 'hex'));
}

export function toHex(bytes: Uint8Array, at = 0, end = bytes.length): string {
  return Buffer.from(bytes.slice(at, end)).toString('hex');
}

/** A buffer in which a byte that was not written, or written where it should not be, shows. */
export const UNWRITTEN = 0xa5;
export const unwritten = (len: number) => new Uint8Array(len).fill(UNWRITTEN);

/** Room in front of and behind what a test writes. */
export const MARGIN = 5;

/** Every end for which `check` accepts what starts at 0 of `bytes`. */
export function acceptedEnds(
  bytes: Uint8Array,
  check: (bytes: Uint8Array, at: number, end: number) => boolean,
): number[] {
  const ends: number[] = [];
  for (let end = 0; end <= bytes.length; end++) {
    // A copy cut off at `end`: a read behind it gives undefined, and does not find the byte that stood there.
    if (check(bytes.slice(0, end), 0, end)) ends.push(end);
  }
  return ends;
}

/** The whole numbers from `first` to `last`. */
export const range = (first: number, last: number) => Array.from({ length: last - first + 1 }, (_, i) => first + i);
