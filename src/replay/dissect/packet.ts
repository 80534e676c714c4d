/**
 * A packet that is being taken apart: layers of named fields, each with its value as text and the bytes that it stands in.
 *
 * Names are those of tshark's display filters (`ip.src`, `vxlan.vni`) where it has one. The second field of a name, from the outside
 * in, is `ip.src#2`, and so on.
 */
import * as Address from '../../wire/address.js';
import * as Ethernet from '../../wire/ethernet.js';

export interface Field {
  readonly name: string;
  readonly value: string;
  /** Offset from the start of the packet. */
  readonly at: number;
  readonly len: number;
  /** Which bits of those bytes, read as one big-endian integer; -1 for all. */
  readonly bits: number;
}

export interface Layer {
  /** `eth`, `ip`, `udp`, ... and `data` for what nobody knows. */
  readonly name: string;
  readonly fields: Field[];
}

export type Protocol =
  | 'eth'
  | 'vlan'
  | 'arp'
  | 'ip'
  | 'ipv6'
  | 'icmp'
  | 'icmpv6'
  | 'tcp'
  | 'udp'
  | 'vxlan'
  | 'vxlan-gpe'
  | 'geneve'
  | 'gre'
  | 'gue'
  | 'raw-ip'
  | 'data';

/** What follows a header; null when that was the end. */
export type Next = { protocol: Protocol; at: number; end: number } | null;

const ALL_BITS = -1;
/** Bytes of a run that are shown; the rest is told by its number. */
const SHOWN_BYTES = 32;

export function goOn(protocol: Protocol, at: number, end: number): Next {
  return at < end ? { protocol, at, end } : null;
}

export class Packet {
  readonly layers: Layer[] = [];
  readonly notes: string[] = [];
  readonly bytes: Uint8Array;

  readonly #seen = new Map<string, number>();

  readonly #hasValues: boolean;

  constructor(bytes: Uint8Array, hasValues: boolean) {
    this.bytes = bytes;
    this.#hasValues = hasValues;
  }

  /** Starts a layer; fields that follow belong to it. */
  layer(name: string): void {
    this.layers.push({ name, fields: [] });
  }

  /** The header needs `bytes` that are not all there: a note, and what is there as data. */
  cut(name: string, bytes: number, at: number, end: number): Next {
    this.notes.push(`${name}: ${bytes} bytes needed at byte ${at}, ${end - at} there`);
    return goOn('data', at, end);
  }

  field(name: string, at: number, len: number, value: string, bits = ALL_BITS): void {
    if (len === 0) return;
    const n = (this.#seen.get(name) ?? 0) + 1;
    this.#seen.set(name, n);
    this.layers[this.layers.length - 1].fields.push({ name: n === 1 ? name : `${name}#${n}`, value, at, len, bits });
  }

  /** An unsigned integer of up to four bytes, or some bits of one. */
  integer(at: number, len: number, bits = ALL_BITS): number {
    let value = 0;
    for (let i = 0; i < len; i++) value = value * 256 + this.bytes[at + i];
    return bits === ALL_BITS ? value : ((value & bits) >>> 0) >>> (31 - Math.clz32(bits & -bits));
  }

  /** A decimal field; `words` names values that have one. */
  number(name: string, at: number, len: number, words: Readonly<Record<number, string>> = {}, bits = ALL_BITS): number {
    const value = this.integer(at, len, bits);
    this.field(name, at, len, this.#hasValues ? withWord(String(value), words[value]) : '', bits);
    return value;
  }

  /** A hexadecimal field, all digits. */
  hex(name: string, at: number, len: number, words: Readonly<Record<number, string>> = {}, bits = ALL_BITS): number {
    const value = this.integer(at, len, bits);
    const text = this.#hasValues ? withWord(`0x${value.toString(16).padStart(len * 2, '0')}`, words[value]) : '';
    this.field(name, at, len, text, bits);
    return value;
  }

  mac(name: string, at: number): void {
    this.field(name, at, Ethernet.MAC_BYTES, this.#hasValues ? Ethernet.macToText(this.bytes, at) : '');
  }

  ipv4(name: string, at: number): void {
    this.field(name, at, Address.IPV4_BYTES, this.#hasValues ? Address.ipv4ToText(this.bytes, at) : '');
  }

  ipv6(name: string, at: number): void {
    this.field(name, at, Address.IPV6_BYTES, this.#hasValues ? Address.ipv6ToText(this.bytes, at) : '');
  }

  /** A run of bytes that is not looked into. */
  run(name: string, at: number, len: number): void {
    this.field(name, at, len, this.#hasValues ? runText(this.bytes, at, len) : '');
  }
}

function withWord(text: string, word: string | undefined): string {
  return word === undefined ? text : `${text} (${word})`;
}

/** `00 01 0a ... (1400 bytes)` */
export function runText(bytes: Uint8Array, at: number, len: number): string {
  const shown = Array.from(bytes.subarray(at, at + Math.min(len, SHOWN_BYTES)), (byte) =>
    byte.toString(16).padStart(2, '0'),
  ).join(' ');
  return len > SHOWN_BYTES ? `${shown} ... (${len} bytes)` : shown;
}
