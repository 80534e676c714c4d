/**
 * Rules for the text values of the configuration. Each returns null for a good value, otherwise what is wrong and what to write
 * instead. Used by the schema, by the cross checks and by the control API, so that a value is judged the same everywhere.
 */
import { isIPv4, isIPv6 } from 'node:net';
import * as Address from '../../wire/address.js';

export interface Fault {
  message: string;
  remedy: string;
}

/** Linux keeps interface names in 16 bytes including the end (IFNAMSIZ). */
export const INTERFACE_NAME_MAX = 15;
/** sun_path holds 108 bytes including the end. */
export const SOCKET_PATH_MAX = 107;

const UNICAST_REMEDY = 'give the unicast address of one host; flooded frames are sent to each peer by itself';

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
const MAC = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i;

export function nameFault(text: string): Fault | null {
  if (NAME.test(text)) return null;
  return {
    message: `${quote(text)} is not a usable name`,
    remedy: 'use 1 to 63 letters, digits, dots, dashes or underscores, starting with a letter or digit',
  };
}

export function interfaceNameFault(text: string): Fault | null {
  const bytes = Buffer.byteLength(text);
  if (bytes > INTERFACE_NAME_MAX) {
    return {
      message: `interface name ${quote(text)} has ${bytes} bytes, Linux takes at most ${INTERFACE_NAME_MAX}`,
      remedy: `shorten it, or give the port a short \`device\` name beside its \`name\``,
    };
  }
  if (/^[^\s/:%]+$/.test(text) && text !== '.' && text !== '..') return null;
  return {
    message: `${quote(text)} is not an interface name`,
    remedy: 'use letters, digits, dashes or underscores, without spaces, slashes, colons or percent signs',
  };
}

/** A unicast address of a tunnel endpoint, IPv4 or IPv6. */
export function underlayAddressFault(text: string): Fault | null {
  const address = Address.fromText(text);
  if (address === null) {
    const remedy = text.includes('/')
      ? 'give the address without a prefix length, like 192.0.2.1'
      : 'give an IPv4 or IPv6 address, like 192.0.2.1 or 2001:db8::1';
    return { message: `${quote(text)} is not an IP address`, remedy };
  }
  return address.length === Address.IPV4_BYTES ? ipv4EndpointFault(text, address[0]) : ipv6EndpointFault(text, address);
}

function ipv4EndpointFault(text: string, first: number): Fault | null {
  if (first < 224 && first !== 0) return null;
  const kind = first >= 224 && first < 240 ? 'a multicast address' : 'not a unicast address';
  return { message: `${text} is ${kind}`, remedy: UNICAST_REMEDY };
}

function ipv6EndpointFault(text: string, address: Uint8Array): Fault | null {
  if (address[0] === 0xff) return { message: `${text} is a multicast address`, remedy: UNICAST_REMEDY };
  if (Address.isMapped(address, 0))
    return { message: `${text} is an IPv4 address in IPv6 form`, remedy: `write ${Address.toText(address)}` };
  if (address.every((byte) => byte === 0))
    return { message: `${text} is not a unicast address`, remedy: UNICAST_REMEDY };
  if (address[0] === 0xfe && (address[1] & 0xc0) === 0x80)
    return {
      message: `${text} is a link-local address, which says nothing without its interface`,
      remedy: 'give a global or unique local (fd00::/8) address',
    };
  return null;
}

/** A unicast address of a station, IPv4 or IPv6; link-local ones, too. */
export function stationAddressFault(text: string): Fault | null {
  const address = Address.fromText(text);
  const isLinkLocal = address?.length === Address.IPV6_BYTES && address[0] === 0xfe && (address[1] & 0xc0) === 0x80;
  const fault = isLinkLocal ? null : underlayAddressFault(text);
  return fault && { ...fault, remedy: 'give the address of one station, like 10.0.0.5 or fd00::5' };
}

/** The one way to write an address (RFC 5952); what is no address stays as it is. */
export function canonicalAddress(text: string): string {
  const address = Address.fromText(text);
  return address === null ? text : Address.toText(address);
}

/** 4 or 6 for an address, 0 for anything else. */
export function familyOf(text: string): 4 | 6 | 0 {
  return isIPv4(text) ? 4 : isIPv6(text) ? 6 : 0;
}

/** An address with prefix length for an interface: `10.0.0.1/24`, `fd00::1/64`. */
export function prefixFault(text: string): Fault | null {
  const slash = text.lastIndexOf('/');
  const address = slash < 0 ? text : text.slice(0, slash);
  const bits = isIPv4(address) ? 32 : isIPv6(address) ? 128 : 0;
  if (bits === 0)
    return {
      message: `${quote(text)} is not an address`,
      remedy: 'give an address with prefix length, like 10.0.0.1/24',
    };
  if (slash < 0)
    return {
      message: `${text} has no prefix length`,
      remedy: `write ${text}/${bits === 32 ? 24 : 64}, with the prefix length of its network`,
    };
  const length = text.slice(slash + 1);
  if (!/^\d{1,3}$/.test(length) || Number(length) > bits)
    return {
      message: `prefix length ${quote(length)} is not 0 to ${bits}`,
      remedy: `give a prefix length of 0 to ${bits}`,
    };
  return null;
}

/** A prefix of a route: `10.42.2.0/24`, with no bit set behind its length. */
export function routePrefixFault(text: string): Fault | null {
  const fault = prefixFault(text);
  if (fault !== null) return fault;
  const cidr = Address.cidrFromText(text);
  if (cidr === null) return { message: `${quote(text)} is not a prefix`, remedy: 'write one like 10.42.2.0/24' };
  if (!Address.hasHostBits(cidr)) return null;
  return {
    message: `${text} has bits set behind its prefix length`,
    remedy: `write ${canonicalPrefix(text)}, or ${text.slice(0, text.indexOf('/'))}/${cidr.address.length * 8} for the one address`,
  };
}

/** The prefix with its host bits zeroed, written the one way; null for what is none. */
export function canonicalPrefix(text: string): string | null {
  const cidr = Address.cidrFromText(text);
  return cidr === null ? null : Address.cidrToText(Address.clearHostBits(cidr));
}

/** A unicast MAC in colon form. */
export function macFault(text: string): Fault | null {
  if (!MAC.test(text))
    return {
      message: `${quote(text)} is not a MAC address`,
      remedy: 'write six bytes in hex with colons, like 02:00:00:00:00:01',
    };
  if (/^(00:){5}00$/.test(text))
    return { message: 'the all-zero MAC belongs to no station', remedy: 'give a unicast MAC' };
  const first = Number.parseInt(text.slice(0, 2), 16);
  if ((first & 1) === 0) return null;
  const unicast = (first & 0xfe).toString(16).padStart(2, '0') + text.slice(2);
  return {
    message: `${text} is a multicast MAC (lowest bit of the first byte is set)`,
    remedy: `give a unicast MAC, like ${unicast}`,
  };
}

/** Source ports of an underlay: a count (the kernel picks the ports) or `FIRST-LAST`. */
export function parseSourcePorts(value: number | string): { first: number; count: number } | Fault {
  const remedy = `give a count of 1 to ${SOURCE_PORTS_MAX}, or a range of at most as many like 49152-49167`;
  if (typeof value === 'number') {
    if (Number.isInteger(value) && value >= 1 && value <= SOURCE_PORTS_MAX) return { first: 0, count: value };
    return { message: `${value} source ports are not possible`, remedy };
  }
  const match = /^(\d{1,5})-(\d{1,5})$/.exec(value);
  if (!match) return { message: `${quote(value)} is neither a count nor a range of ports`, remedy };
  const [first, last] = [Number(match[1]), Number(match[2])];
  if (first < 1 || last > 65535) return { message: `${value} leaves the range of ports, 1 to 65535`, remedy };
  if (last < first) return { message: `range ${value} runs backwards`, remedy: `write ${last}-${first}` };
  if (last - first + 1 > SOURCE_PORTS_MAX)
    return { message: `${value} has ${last - first + 1} ports; each one is a socket of every worker`, remedy };
  return { first, count: last - first + 1 };
}

export const SOURCE_PORTS_MAX = 256;

/** Text for a message: quoted, control characters escaped, cut at 60 characters. */
export function quote(text: string): string {
  const cut = text.length > 60 ? `${text.slice(0, 57)}...` : text;
  return JSON.stringify(cut);
}

/** The known word nearest to a misspelled one, or null when none is near. */
export function nearest(word: string, known: Iterable<string>): string | null {
  let best: string | null = null;
  let bestDistance = Math.max(2, Math.floor(word.length / 3)) + 1;
  for (const candidate of known) {
    const d = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (d < bestDistance) {
      best = candidate;
      bestDistance = d;
    }
  }
  return best;
}

function editDistance(a: string, b: string): number {
  if (Math.abs(a.length - b.length) > 8) return 99;
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, row[j] + 1, next[j - 1] + 1));
    }
    row = next;
  }
  return row[b.length];
}

/** A value of the configuration in a sentence; `none` where there is none. */
export function valueText(value: unknown): string {
  if (value === null) return 'none';
  return typeof value === 'string' ? value : JSON.stringify(value);
}
