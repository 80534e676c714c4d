/**
 * Compares two captures packet by packet, in constant memory.
 *
 * What counts: the bytes of every packet, its length, link type and order, and the name of its interface where both files have
 * several. Times do not count unless asked for: a golden file made by another tool has its own, and often coarser ones. Neither do
 * comments and the description of interfaces.
 *
 * A packet that one file has and the other has not is found by looking a few packets ahead, so that it does not make all that
 * follow differ.
 */
import { dissect, summary } from './dissect.js';
import {
  bytesThatMatter,
  type FieldDifference,
  fieldDifferences,
  type Ignored,
  ignoring,
  sameFrame,
  TIME_FIELD,
} from './fields.js';
import { type CapturedPacket, PacketSource } from './packetSource.js';

export type { FieldDifference } from './fields.js';

export interface CompareOptions {
  /** Fields that do not matter, as `dissect` names them: `ip.id`, `ip.ttl#2`, `vxlan`, `udp.checksum`, `data`. */
  ignore?: readonly string[];
  /** Times count too. */
  times?: boolean;
  /** So many differences are described; all are counted. Default 10. */
  shown?: number;
}

export interface PacketDifference {
  /** changed: both have it. extra: only the actual capture has it. missing: only the expected one has it. */
  kind: 'changed' | 'extra' | 'missing';
  /** Its number in each file, from 1; null where it is not. */
  actual: number | null;
  expected: number | null;
  /** Layers and addresses, of the actual packet where there is one. */
  summary: string;
  /** Of a changed packet. */
  fields: FieldDifference[];
}

export interface Comparison {
  actual: { file: string; packets: number; isCutOff: boolean };
  expected: { file: string; packets: number; isCutOff: boolean };
  /** Packets that are the same in both. */
  same: number;
  changed: number;
  extra: number;
  missing: number;
  /** The first ones. */
  differences: PacketDifference[];
  /** No difference, and neither file is cut off. */
  ok: boolean;
}

const SHOWN_DEFAULT = 10;
/** How far a packet is looked for in the other file. */
const WINDOW = 32;
/** After so many differences nothing is looked for any more: files that have nothing in common would take for ever. */
const SEARCHES_MAX = 1000;

export async function compareCaptures(
  actualFile: string,
  expectedFile: string,
  options: CompareOptions = {},
): Promise<Comparison> {
  const actual = await PacketSource.open(actualFile);
  try {
    const expected = await PacketSource.open(expectedFile);
    try {
      return await compareSources(actual, expected, options);
    } finally {
      await expected.close();
    }
  } finally {
    await actual.close();
  }
}

async function compareSources(a: PacketSource, e: PacketSource, options: CompareOptions): Promise<Comparison> {
  const differ = new Differences(options);
  let searches = 0;
  for (;;) {
    await a.fill(1);
    await e.fill(1);
    if (a.ahead === 0 || e.ahead === 0) break;
    if (differ.same(a.peek(0), e.peek(0))) {
      a.take();
      e.take();
      differ.found.same++;
      continue;
    }
    let [extra, missing] = [0, 0];
    if (searches++ < SEARCHES_MAX) {
      await a.fill(WINDOW);
      await e.fill(WINDOW);
      [extra, missing] = nextSame(a, e, differ);
    }
    // Packets in front of the next ones that are the same: pairs are changed, what is left over on one side is extra or missing.
    const pairs = extra === 0 && missing === 0 ? 1 : Math.min(extra, missing);
    for (let i = 0; i < pairs; i++) differ.changed(a.take(), e.take());
    for (let i = pairs; i < extra; i++) differ.extra(a.take());
    for (let i = pairs; i < missing; i++) differ.missing(e.take());
  }
  await drain(a, (packet) => differ.extra(packet));
  await drain(e, (packet) => differ.missing(packet));
  const side = (source: PacketSource) => ({ file: source.file, packets: source.taken, isCutOff: source.isCutOff });
  const { found } = differ;
  const ok = found.changed + found.extra + found.missing === 0 && !a.isCutOff && !e.isCutOff;
  return { actual: side(a), expected: side(e), ...found, differences: differ.first, ok };
}

async function drain(source: PacketSource, each: (packet: CapturedPacket) => void): Promise<void> {
  for (;;) {
    await source.fill(1);
    if (source.ahead === 0) return;
    each(source.take());
  }
}

/**
 * How many packets of each side stand in front of the nearest pair that is the same; [0, 0] when there is none. Two packets that come
 * together again one later on both sides are one that was changed.
 */
function nextSame(a: PacketSource, e: PacketSource, differ: Differences): [extra: number, missing: number] {
  for (let distance = 1; distance < WINDOW; distance++) {
    for (let back = 0; back <= distance; back++) {
      const [near, far] = [distance - back, distance];
      if (far < a.ahead && near < e.ahead && differ.same(a.peek(far), e.peek(near))) return [far, near];
      if (near < a.ahead && far < e.ahead && differ.same(a.peek(near), e.peek(far))) return [near, far];
    }
  }
  return [0, 0];
}

/** Judges pairs, counts what differs and describes the first of it. */
class Differences {
  readonly found = { same: 0, changed: 0, extra: 0, missing: 0 };
  readonly first: PacketDifference[] = [];

  readonly #shown: number;
  readonly #ignored: Ignored;
  readonly #ignoresBytes: boolean;
  /** What matters of packets that are compared more than once. */
  readonly #matters = new WeakMap<CapturedPacket, Uint8Array>();

  constructor({ ignore = [], times = false, shown = SHOWN_DEFAULT }: CompareOptions) {
    this.#shown = shown;
    this.#ignored = ignoring(times ? ignore : [...ignore, TIME_FIELD]);
    this.#ignoresBytes = ignore.some((name) => name !== 'time' && !name.startsWith('frame.'));
  }

  same(a: CapturedPacket, e: CapturedPacket): boolean {
    if (!this.#sameBytes(a, e)) return false;
    return sameFrame(a, e, this.#ignored);
  }

  #sameBytes(a: CapturedPacket, e: CapturedPacket): boolean {
    if (Buffer.compare(a.bytes, e.bytes) === 0) return true;
    return this.#ignoresBytes && Buffer.compare(this.#mattering(a), this.#mattering(e)) === 0;
  }

  #mattering(packet: CapturedPacket): Uint8Array {
    let bytes = this.#matters.get(packet);
    if (bytes === undefined) {
      bytes = bytesThatMatter(packet, this.#ignored);
      this.#matters.set(packet, bytes);
    }
    return bytes;
  }

  changed(a: CapturedPacket, e: CapturedPacket): void {
    if (this.same(a, e)) this.found.same++;
    else if (++this.found.changed && this.#isShown()) this.#add('changed', a, e, fieldDifferences(a, e, this.#ignored));
  }

  extra(packet: CapturedPacket): void {
    this.found.extra++;
    if (this.#isShown()) this.#add('extra', packet, null, []);
  }

  missing(packet: CapturedPacket): void {
    this.found.missing++;
    if (this.#isShown()) this.#add('missing', null, packet, []);
  }

  #isShown(): boolean {
    return this.first.length < this.#shown;
  }

  #add(
    kind: PacketDifference['kind'],
    a: CapturedPacket | null,
    e: CapturedPacket | null,
    fields: FieldDifference[],
  ): void {
    const packet = (a ?? e) as CapturedPacket;
    this.first.push({
      kind,
      actual: a?.number ?? null,
      expected: e?.number ?? null,
      summary: `${packet.bytes.length} bytes, ${summary(dissect(packet.bytes, packet.linkType))}`,
      fields,
    });
  }
}
