import type { Arena } from '../packet/arena.js';
import { DROP } from '../packet/drop.js';
import * as Pcap from '../wire/pcap.js';

/**
 * Packets of a capture's link type as the frames or IP packets that a device takes.
 *
 *   file              device of Ethernet frames             device of IP packets
 *   Ethernet          as it is                              without its header, VLAN tags too
 *   raw IP            a header of made-up addresses,        as it is
 *                     at underlays only
 *   Linux cooked      header with the sender's address      without its header
 *
 * A port learns addresses: made-up ones would be wrong there, while an underlay does not look at them.
 */
export interface LinkDevice {
  /** What the device takes. */
  carries: 'ethernet' | 'ip';
  isUnderlay: boolean;
}

export type Conversion = 'none' | 'refused' | 'strip' | 'wrap' | 'cooked-to-frame' | 'cooked-to-packet';

const ETHERNET_BYTES = 14;
const SLL_BYTES = 16;
const SLL2_BYTES = 20;
const IPV4 = 0x0800;
const IPV6 = 0x86dd;
const VLAN_TAGS = [0x8100, 0x88a8, 0x9100];
/** The receiver's address is not in a cooked capture. */
const RECEIVER = [0x02, 0, 0, 0, 0, 0x01];
const SENDER = [0x02, 0, 0, 0, 0, 0x02];
const BROADCAST = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
/** Packet types of a cooked header. */
const TO_ALL = 1;
const TO_GROUP = 2;
const ETHERNET_ADDRESS_BYTES = 6;

const isRaw = (link: number) =>
  link === Pcap.LINK_RAW ||
  link === Pcap.LINK_RAW_BSD ||
  link === Pcap.LINK_RAW_OPENBSD ||
  link === Pcap.LINK_IPV4 ||
  link === Pcap.LINK_IPV6;

const isCooked = (link: number) => link === Pcap.LINK_SLL || link === Pcap.LINK_SLL2;

export function conversionFor(link: number, device: LinkDevice): Conversion {
  const isFrames = device.carries === 'ethernet';
  if (link === Pcap.LINK_ETHERNET) return isFrames ? 'none' : 'strip';
  if (isRaw(link)) return isFrames ? (device.isUnderlay ? 'wrap' : 'refused') : 'none';
  if (isCooked(link)) return isFrames ? 'cooked-to-frame' : 'cooked-to-packet';
  return 'refused';
}

export function linkName(link: number): string {
  if (link === Pcap.LINK_ETHERNET) return 'Ethernet';
  if (isRaw(link)) return 'raw IP';
  return isCooked(link) ? 'Linux cooked' : `link type ${link}`;
}

/** What `convert` made of a packet: bytes at the place that it was given, or the reason why it is dropped. */
export interface Converted {
  bytes: number;
  drop: number;
}

const converted: Converted = { bytes: 0, drop: 0 };

/** Writes a packet of `len` bytes at `from` into the arena at `to`. */
export function convert(
  kind: Conversion,
  link: number,
  bytes: Uint8Array,
  from: number,
  len: number,
  arena: Arena,
  to: number,
): Converted {
  converted.drop = 0;
  if (kind === 'strip') stripFrame(bytes, from, len, arena, to);
  else if (kind === 'wrap') wrapPacket(bytes, from, len, arena, to);
  else if (kind === 'none') put(bytes, from, len, arena, to, 0);
  else unpackCooked(link, bytes, from, len, arena, to, kind === 'cooked-to-frame');
  return converted;
}

/** Data behind a header of `headerBytes` that stands there already. */
function put(bytes: Uint8Array, from: number, len: number, arena: Arena, to: number, headerBytes: number): void {
  arena.bytes.set(bytes.subarray(from, from + len), to + headerBytes);
  converted.bytes = headerBytes + len;
}

/** What stands in the place of a packet that is dropped is nobody's business. */
function refuse(reason: number): void {
  converted.bytes = 0;
  converted.drop = reason;
}

const typeAt = (bytes: Uint8Array, at: number) => (bytes[at] << 8) | bytes[at + 1];

function stripFrame(bytes: Uint8Array, from: number, len: number, arena: Arena, to: number): void {
  let headerBytes = ETHERNET_BYTES;
  while (headerBytes + 4 <= len && VLAN_TAGS.includes(typeAt(bytes, from + headerBytes - 2))) headerBytes += 4;
  const type = len < headerBytes ? 0 : typeAt(bytes, from + headerBytes - 2);
  if (type !== IPV4 && type !== IPV6) refuse(DROP['malformed-packet']);
  else put(bytes, from + headerBytes, len - headerBytes, arena, to, 0);
}

function writeHeader(arena: Arena, to: number, receiver: number[], sender: ArrayLike<number>, type: number): void {
  arena.bytes.set(receiver, to);
  arena.bytes.set(sender, to + 6);
  arena.bytes[to + 12] = type >>> 8;
  arena.bytes[to + 13] = type;
}

function wrapPacket(bytes: Uint8Array, from: number, len: number, arena: Arena, to: number): void {
  writeHeader(arena, to, RECEIVER, SENDER, len > 0 && bytes[from] >>> 4 === 6 ? IPV6 : IPV4);
  put(bytes, from, len, arena, to, ETHERNET_BYTES);
}

function unpackCooked(
  link: number,
  bytes: Uint8Array,
  from: number,
  len: number,
  arena: Arena,
  to: number,
  isFrame: boolean,
): void {
  // SLL: packet type 2, ARPHRD 2, address length 2, address 8, protocol 2. SLL2: protocol 2, 2, interface 4, ARPHRD 2, packet type 1, length 1, 8.
  const isSecond = link === Pcap.LINK_SLL2;
  const headerBytes = isSecond ? SLL2_BYTES : SLL_BYTES;
  if (len < headerBytes) {
    refuse(DROP[isFrame ? 'malformed-frame' : 'malformed-packet']);
    return;
  }
  const protocol = typeAt(bytes, from + (isSecond ? 0 : 14));
  const packetType = isSecond ? bytes[from + 10] : typeAt(bytes, from);
  const addressBytes = isSecond ? bytes[from + 11] : typeAt(bytes, from + 4);
  const addressAt = from + (isSecond ? 12 : 6);
  if (isFrame) {
    const receiver = packetType === TO_ALL || packetType === TO_GROUP ? BROADCAST : RECEIVER;
    const hasAddress = addressBytes === ETHERNET_ADDRESS_BYTES;
    const sender = hasAddress ? bytes.subarray(addressAt, addressAt + ETHERNET_ADDRESS_BYTES) : SENDER;
    writeHeader(arena, to, receiver, sender, protocol);
    put(bytes, from + headerBytes, len - headerBytes, arena, to, ETHERNET_BYTES);
  } else if (protocol !== IPV4 && protocol !== IPV6) refuse(DROP['malformed-packet']);
  else put(bytes, from + headerBytes, len - headerBytes, arena, to, 0);
}
