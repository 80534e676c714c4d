// Slow twin of IPv4 fragmentation, from RFC 791 section 3.2: each fragment is a frame of its own, built whole.
import { join, onesSum, read16, u16 } from './frames.js';

/** Options that every fragment has: those with the copied bit, padded to words. */
function copiedOptions(options: Uint8Array): number[] {
  const copied: number[] = [];
  for (let at = 0; at < options.length && options[at] !== 0; ) {
    if (options[at] === 1) {
      at++;
      continue;
    }
    const option = [...options.slice(at, at + options[at + 1])];
    if (option[0] >= 128) copied.push(...option);
    at += option.length;
  }
  while (copied.length % 4 !== 0) copied.push(0);
  return copied;
}

/** Fragments of at most `room` bytes of the IPv4 packet at `l3` of a frame. */
export function fragmentTwin(frame: Uint8Array, l3: number, room: number): Uint8Array[] {
  const headerLen = (frame[l3] % 16) * 4;
  const payload = frame.slice(l3 + headerLen, l3 + read16(frame, l3 + 2));
  const options = frame.slice(l3 + 20, l3 + headerLen);
  const firstOffset = read16(frame, l3 + 6) % 0x2000;
  const hadMore = (read16(frame, l3 + 6) & 0x2000) !== 0;
  const fragments: Uint8Array[] = [];
  for (let from = 0; from < payload.length; ) {
    const own = from === 0 ? [...options] : copiedOptions(options);
    const space = room - 20 - own.length;
    const rest = payload.length - from;
    const bytes = rest <= space ? rest : Math.floor(space / 8) * 8;
    const isLast = bytes === rest;
    const header = join(frame.slice(l3, l3 + 20), own);
    header[0] = 0x40 + header.length / 4;
    header.set(u16(header.length + bytes), 2);
    header.set(u16((isLast && !hadMore ? 0 : 0x2000) + firstOffset + from / 8), 6);
    header.set([0, 0], 10);
    header.set(u16(0xffff - onesSum(header)), 10);
    fragments.push(join(frame.slice(0, l3), header, payload.slice(from, from + bytes)));
    from += bytes;
  }
  return fragments;
}

/** The payload of a packet, put together again from frames with its fragments in any order. `more`: the packet was itself a fragment. */
export function reassemble(frames: Uint8Array[], l3: number, more: boolean): Uint8Array {
  const pieces = frames.map((f) => ({
    at: (read16(f, l3 + 6) % 0x2000) * 8,
    more: (read16(f, l3 + 6) & 0x2000) !== 0,
    bytes: f.slice(l3 + (f[l3] % 16) * 4, l3 + read16(f, l3 + 2)),
  }));
  pieces.sort((a, b) => a.at - b.at);
  let end = pieces[0].at;
  for (const [k, piece] of pieces.entries()) {
    if (piece.at !== end) throw new Error(`a hole or an overlap at ${end}`);
    if (piece.more !== (more || k < pieces.length - 1)) throw new Error(`more fragments at ${end} is wrong`);
    end += piece.bytes.length;
  }
  return join(...pieces.map((piece) => piece.bytes));
}
