// Random input for the fuzz tier: frames that are nearly right. The seed says everything: WEFT_FUZZ_SEED=n repeats a run.
import { decode } from './decode.js';
import {
  ACK,
  arpRequest,
  BROADCAST,
  CWR,
  ethernet,
  FIN,
  ip,
  join,
  noise,
  PSH,
  SYN,
  type TcpFields,
  tcp,
  udp,
} from './frames.js';
import type { VnetHeader } from './kernel.js';

export interface Random {
  readonly seed: number;
  /** 0 to n - 1. */
  below(n: number): number;
  /** True once in n times. */
  once(n: number): boolean;
  pick<T>(list: readonly T[]): T;
}

/** mulberry32: small, and the same everywhere. */
export function makeRandom(seed: number): Random {
  let state = seed | 0;
  const next = () => {
    state = (state + 0x6d2b79f5) | 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return (x ^ (x >>> 14)) >>> 0;
  };
  const below = (n: number) => next() % n;
  return { seed, below, once: (n) => below(n) === 0, pick: (list) => list[below(list.length)] };
}

export const fuzzSeed = (): number => Number(process.env.WEFT_FUZZ_SEED ?? Date.now() % 2 ** 31);

/** Extension headers of any number and length: hop-by-hop, routing, fragment, destination options. */
function anyExtensions(r: Random): { number: number; bytes: number[] }[] {
  return Array.from({ length: 1 + (r.once(3) ? r.below(9) : 0) }, () => {
    const number = r.pick([0, 43, 60, 60, 44]);
    const eights = number === 44 ? 1 : r.pick([1, 1, 2, 3, 13, 40, 100, 175, 256]);
    return { number, bytes: [0, eights - 1, ...new Array(eights * 8 - 2).fill(0)] };
  });
}

/** Stations 1 to 4 are local, 9 and 10 behind peers. */
const stations = [1, 2, 3, 4, 9, 10];

/** A whole frame of some kind; `bytesMax` bounds its payload. */
export function wholeFrame(r: Random, bytesMax: number): Uint8Array {
  const family: 4 | 6 = r.once(3) ? 6 : 4;
  const src = r.pick(stations);
  const fields: TcpFields = {
    family,
    src,
    dst: r.once(6) ? BROADCAST : r.pick(stations),
    ipSrc: src,
    ipDst: r.pick(stations),
    tos: r.once(3) ? r.below(256) : 0,
    ttl: 1 + r.below(255),
    id: r.below(65536),
    fragment: r.once(8) ? r.pick([0, 0x2000, 0x0005, 0x2fff]) : 0x4000,
    tags: r.once(4)
      ? r.once(3)
        ? [
            [0x88a8, 1],
            [0x8100, 2],
          ]
        : [[0x8100, r.below(65536)]]
      : [],
    options: r.once(6) ? new Uint8Array(4 * r.below(11)).fill(1) : [],
    extensions: r.once(4) ? anyExtensions(r) : [],
    trailer: r.once(6) ? r.below(20) : 0,
    payload: r.once(4) ? r.below(bytesMax) : r.below(200),
    checksum: r.pick(['good', 'good', 'good', 'bad', 'unfinished', 'unfinished', 'zero']),
    sport: r.below(4),
    dport: 80,
  };
  switch (r.below(8)) {
    case 0:
      return arpRequest(src);
    case 1:
      return ethernet(fields, r.below(65536), noise(r.below(100)));
    case 2:
      return ip(fields, r.pick([1, 2, 47, 50, 58, 132]), noise(r.below(100)));
    case 3:
    case 4:
      return udp(fields);
    default:
      return tcp({
        ...fields,
        seq: r.pick([0, 1, 1000, 0xffffff00]) + r.below(3) * 100,
        flags: r.pick([ACK, ACK, ACK | PSH, SYN, ACK | FIN | PSH | CWR, r.below(256)]),
        tcpOptions: r.once(3) ? new Uint8Array(4 * r.below(11)).fill(1) : [],
      });
  }
}

/** A superframe of TCP or UDP as a device hands it over, or as a tunnel leaks it: headers of any length, checksum unfinished. */
export function superframe(r: Random): Uint8Array {
  const family: 4 | 6 = r.once(2) ? 6 : 4;
  const src = r.pick(stations);
  const make = r.once(3) ? udp : tcp;
  return make({
    family,
    src,
    dst: r.once(3) ? BROADCAST : r.pick(stations),
    ipSrc: src,
    ipDst: r.pick(stations),
    tags: r.once(3) ? [[0x8100, 7]] : [],
    options: new Uint8Array(4 * r.below(11)).fill(1),
    extensions: r.once(2) ? anyExtensions(r) : [],
    tcpOptions: new Uint8Array(4 * r.below(11)).fill(1),
    trailer: r.once(6) ? r.below(9) : 0,
    seq: r.below(2 ** 31),
    flags: r.pick([ACK, ACK | PSH, ACK | FIN | CWR]),
    payload: 1500 + r.below(r.pick([3000, 20_000, 45_000])),
    checksum: 'unfinished',
  });
}

const extremes = [0, 1, 7, 8, 15, 20, 0x45, 0x4f, 0x60, 0x7f, 0x80, 0xff];

/** Damage: bytes, lengths, an end that is missing or too much. */
export function damage(r: Random, frame: Uint8Array): Uint8Array {
  let f: Uint8Array = frame.slice();
  for (let n = r.below(4); n > 0 && f.length > 0; n--) {
    const at = r.once(3) ? r.below(f.length) : r.below(Math.min(f.length, 80));
    switch (r.below(5)) {
      case 0:
        f[at] ^= 1 << r.below(8);
        break;
      case 1:
        f[at] = r.pick(extremes);
        break;
      case 2:
        f.set([r.below(256), r.below(256)].slice(0, f.length - at), at);
        break;
      case 3:
        f = f.slice(0, at);
        break;
      default:
        f = join(f.slice(0, at), noise(r.below(30), r.below(1000)), f.slice(at));
    }
  }
  return f;
}

export function anyFrame(r: Random, bytesMax = 1500): Uint8Array {
  if (r.once(20)) return noise(r.below(100), r.below(100_000));
  const frame = wholeFrame(r, bytesMax);
  return r.once(2) ? damage(r, frame) : frame;
}

/** What a device may say of a frame: nothing, what is right, or anything. */
export function anyOffload(r: Random, frame: Uint8Array): Partial<VnetHeader> | undefined {
  if (r.once(4)) return undefined;
  const d = decode(frame);
  const gsoSize = r.pick([34, 100, 536, 1000, 1400, 1 + r.below(9000)]);
  if (!r.once(3) && d !== null && d.l4 > 0) {
    const isTcp = d.protocol === 6;
    const gsoType = r.once(3) ? 0 : !isTcp ? 5 : d.family === 4 ? 1 : 4;
    return { flags: 1, gsoType, gsoSize, csumStart: d.l4, csumOffset: isTcp ? 16 : 6 };
  }
  return {
    flags: r.once(4) ? r.below(256) : 1,
    gsoType: r.pick([0, 0, 1, 4, 0x81, 0x84, 3, 5, r.below(256)]),
    gsoSize: r.pick([0, 1, gsoSize, 65535]),
    csumStart: r.pick([0, 13, 14, 34, 38, 42, 54, 58, 62, frame.length - 2, frame.length, 65535]) & 0xffff,
    csumOffset: r.pick([0, 6, 16, 16, 65535, r.below(100)]),
  };
}
