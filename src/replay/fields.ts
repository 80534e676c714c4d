/**
 * What differs between two packets, field by field, and which fields do not matter.
 */

import { WeftError } from '../packet/error.js';
import { runText } from './dissect/packet.js';
import { type Dissection, dissect, type Field } from './dissect.js';
import type { CapturedPacket } from './packetSource.js';

/** One field that differs. Null: the packet has no such field. */
export interface FieldDifference {
  field: string;
  /** Offset in the packet; null for what the capture file says of it. */
  at: number | null;
  actual: string | null;
  expected: string | null;
}

/** Whether a field is left out of a comparison. */
export type Ignored = (field: string) => boolean;

/** Fields of the capture file, not of the packet. */
export const TIME_FIELD = 'frame.time';
export const FRAME_FIELDS: readonly string[] = [
  'frame.len',
  'frame.cap_len',
  'frame.encap',
  'frame.interface',
  TIME_FIELD,
];

const LAYERS = [
  'frame',
  'eth',
  'vlan',
  'arp',
  'ip',
  'ipv6',
  'icmp',
  'icmpv6',
  'tcp',
  'udp',
  'vxlan',
  'geneve',
  'gre',
  'gue',
];
LAYERS.push('data');

/** Bytes of a long field that are shown, from the first one that differs. */
const SHOWN_BYTES = 12;

/**
 * `ip.ttl` is that field at every depth, `ip.ttl#2` the second from the outside; `ip` is everything whose name starts with `ip.`;
 * `time` is `frame.time`.
 */
export function ignoring(names: readonly string[]): Ignored {
  const wanted = names.map((name) => parts(name === 'time' ? TIME_FIELD : name));
  for (const { base } of wanted) {
    if (LAYERS.includes(base.split('.')[0])) continue;
    throw new WeftError('USAGE', `there is no field '${base}' to ignore`, {
      object: base,
      remedy: `Fields start with ${LAYERS.join(', ')}, as tshark names them.`,
    });
  }
  // Asked for every field of every packet that differs; names are few.
  const known = new Map<string, boolean>();
  return (field) => {
    let answer = known.get(field);
    if (answer === undefined) {
      const { base, depth } = parts(field);
      answer = wanted.some(
        (w) => (base === w.base || base.startsWith(`${w.base}.`)) && (w.depth === null || w.depth === (depth ?? '1')),
      );
      known.set(field, answer);
    }
    return answer;
  };
}

function parts(name: string): { base: string; depth: string | null } {
  const [base, depth] = name.split('#');
  return { base, depth: depth ?? null };
}

/** The packet's bytes without those that are ignored; fields of some bits leave the others. */
export function bytesThatMatter(packet: CapturedPacket, ignored: Ignored): Uint8Array {
  const { bytes, linkType } = packet;
  const keep = new Uint8Array(bytes.length).fill(0xff);
  for (const { fields } of dissect(bytes, linkType, { values: false }).layers)
    for (const field of fields)
      if (ignored(field.name)) for (let i = 0; i < field.len; i++) keep[field.at + i] &= ~maskOf(field, i);
  const left = new Uint8Array(bytes.length);
  let len = 0;
  for (let i = 0; i < bytes.length; i++) if (keep[i] !== 0) left[len++] = bytes[i] & keep[i];
  return left.subarray(0, len);
}

export function fieldDifferences(
  actual: CapturedPacket,
  expected: CapturedPacket,
  ignored: Ignored,
): FieldDifference[] {
  const found = frameDifferences(actual, expected);
  const ours = dissect(actual.bytes, actual.linkType);
  const theirs = new Map(fieldsOf(dissect(expected.bytes, expected.linkType)).map((field) => [field.name, field]));
  for (const field of fieldsOf(ours)) {
    const other = theirs.get(field.name);
    theirs.delete(field.name);
    if (other === undefined) found.push({ field: field.name, at: field.at, actual: field.value, expected: null });
    else if (!sameBits(actual.bytes, field, expected.bytes, other))
      found.push(difference(actual, field, expected, other));
  }
  for (const { name, at, value } of theirs.values()) found.push({ field: name, at, actual: null, expected: value });
  return found.filter(({ field }) => !ignored(field));
}

function frameDifferences(actual: CapturedPacket, expected: CapturedPacket): FieldDifference[] {
  const of = (packet: CapturedPacket) => [
    String(packet.originalBytes),
    String(packet.bytes.length),
    `link type ${packet.linkType}`,
    packet.interfaceName,
    timeText(packet),
  ];
  const ours = of(actual);
  const theirs = of(expected);
  return FRAME_FIELDS.map((field, i) => ({ field, at: null, actual: ours[i], expected: theirs[i] })).filter(
    // A name counts where both have one.
    (d) => d.actual !== d.expected && d.actual !== null && d.expected !== null,
  );
}

/** What the capture file says of both packets is the same, but for ignored fields. */
export function sameFrame(a: CapturedPacket, e: CapturedPacket, ignored: Ignored): boolean {
  const isSame =
    a.originalBytes === e.originalBytes &&
    a.bytes.length === e.bytes.length &&
    a.linkType === e.linkType &&
    a.seconds === e.seconds &&
    a.nanoseconds === e.nanoseconds &&
    a.interfaceName === e.interfaceName;
  return isSame || frameDifferences(a, e).every(({ field }) => ignored(field));
}

function timeText({ seconds, nanoseconds }: CapturedPacket): string {
  return `${seconds}.${String(nanoseconds).padStart(9, '0')}`;
}

function fieldsOf({ layers }: Dissection): Field[] {
  return layers.flatMap((layer) => layer.fields);
}

/** Bits of the field's `i`th byte that belong to it. */
function maskOf({ len, bits }: Field, i: number): number {
  return bits === -1 ? 0xff : (bits >>> ((len - 1 - i) * 8)) & 0xff;
}

function sameBits(a: Uint8Array, aField: Field, b: Uint8Array, bField: Field): boolean {
  if (aField.len !== bField.len) return false;
  for (let i = 0; i < aField.len; i++)
    if (((a[aField.at + i] ^ b[bField.at + i]) & maskOf(aField, i)) !== 0) return false;
  return true;
}

/** Texts of both sides; of a long run, what stands at the first byte that differs. */
function difference(a: CapturedPacket, aField: Field, b: CapturedPacket, bField: Field): FieldDifference {
  const { name, at, len } = aField;
  const common = Math.min(len, bField.len);
  if (aField.value.length <= SHOWN_BYTES * 3 && bField.value.length <= SHOWN_BYTES * 3)
    return { field: name, at, actual: aField.value, expected: bField.value };
  let same = 0;
  while (same < common && a.bytes[at + same] === b.bytes[bField.at + same]) same++;
  const shown = (packet: CapturedPacket, field: Field) => {
    const left = field.len - same;
    if (left <= 0) return `(${field.len} bytes)`;
    const text = runText(packet.bytes, field.at + same, Math.min(left, SHOWN_BYTES));
    return left > SHOWN_BYTES || field.len !== common ? `${text} ... (${field.len} bytes)` : text;
  };
  return { field: name, at: at + same, actual: shown(a, aField), expected: shown(b, bField) };
}
