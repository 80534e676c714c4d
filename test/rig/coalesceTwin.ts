// Slow twin of coalescing, from the rules of the kernel's GRO as tools/testing/selftests/net/gro.c and tcp_gro_receive() have them: whole
// frames in, groups of frames out.
import { type Decoded, decode, isTransportChecksumRight } from './decode.js';
import { ACK, PSH, read32, toHex } from './frames.js';

interface Item {
  frames: number[];
  key: string | null;
  isOpen: boolean;
  size: number;
  bytes: number;
  nextSeq: number;
}

/** Everything that must be equal in all frames of a group, as text. */
function sameInAll(f: Uint8Array, d: Decoded): string {
  const tcpEnd = d.l4 + Math.floor(f[d.l4 + 12] / 16) * 4;
  const parts = [
    f.slice(0, d.l3), // Ethernet and tags
    d.family === 4
      ? [f[d.l3], f[d.l3 + 1], f[d.l3 + 6], f[d.l3 + 7], f[d.l3 + 8], f[d.l3 + 9]]
      : f.slice(d.l3, d.l3 + 4),
    d.family === 4 ? f.slice(d.l3 + 12, d.l3 + 20) : [f[d.l3 + 6], f[d.l3 + 7], ...f.slice(d.l3 + 8, d.l3 + 40)],
    f.slice(d.l4, d.l4 + 4), // ports
    f.slice(d.l4 + 8, d.l4 + 13), // ack, data offset and reserved bits
    f.slice(d.l4 + 14, d.l4 + 16), // window
    f.slice(d.l4 + 20, tcpEnd),
  ];
  return parts.map((p) => toHex(Uint8Array.from(p))).join('|');
}

const flowOf = (f: Uint8Array, d: Decoded) =>
  toHex(
    Uint8Array.from([
      ...f.slice(0, 12),
      d.family,
      ...(d.family === 4 ? f.slice(d.l3 + 12, d.l3 + 20) : f.slice(d.l3 + 8, d.l3 + 40)),
      ...f.slice(d.l4, d.l4 + 4),
    ]),
  );

function payloadLen(f: Uint8Array, d: Decoded): number {
  return d.end - d.l4 - Math.floor(f[d.l4 + 12] / 16) * 4;
}

function mayJoin(f: Uint8Array, d: Decoded): boolean {
  if (d.hasOptions || d.isFragment || d.end !== f.length) return false;
  if ((f[d.l4 + 13] & (0xff - PSH)) !== ACK || payloadLen(f, d) <= 0) return false;
  return isTransportChecksumRight(f, d);
}

/** Groups of indexes into `frames`, in the order of their first frames. `lookBack`: groups, newest first, that are searched for the flow. */
export function coalesceTwin(frames: Uint8Array[], lookBack = Number.POSITIVE_INFINITY): number[][] {
  const items: (Item & { flow: string | null })[] = [];
  frames.forEach((f, i) => {
    const d = decode(f);
    const isTcp = d !== null && d.protocol === 6 && d.l4 !== 0;
    const flow = isTcp ? flowOf(f, d) : null;
    const joins = isTcp && mayJoin(f, d);
    const found =
      flow === null
        ? undefined
        : items
            .slice(-lookBack)
            .reverse()
            .find((item) => item.flow === flow);
    if (joins && found?.isOpen) {
      const bytes = payloadLen(f, d);
      const fits = bytes <= found.size && found.bytes + bytes <= 65535 && read32(f, d.l4 + 4) === found.nextSeq;
      if (fits && found.key === sameInAll(f, d)) {
        found.frames.push(i);
        found.bytes += bytes;
        found.nextSeq = (found.nextSeq + bytes) % 2 ** 32;
        if (bytes < found.size || (f[d.l4 + 13] & PSH) !== 0) found.isOpen = false;
        return;
      }
    }
    if (found) found.isOpen = false;
    const size = joins ? payloadLen(f, d) : 0;
    items.push({
      frames: [i],
      flow,
      key: joins ? sameInAll(f, d) : null,
      isOpen: joins && (f[d.l4 + 13] & PSH) === 0,
      size,
      bytes: joins ? d.end - d.l3 : 0,
      nextSeq: joins ? (read32(f, d.l4 + 4) + size) % 2 ** 32 : 0,
    });
  });
  return items.map((item) => item.frames);
}
