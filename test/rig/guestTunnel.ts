// weft in a namespace and a guest's kernel behind its TAP device, with one tunnel after the other between them.
import { expect } from 'vitest';
import type { ConfigInput } from '../../src/control/config/config.js';
import { bootGuest, type Guest } from './guest.js';
import { addIpv6, guestCounts, guestPing, sendTcpFromGuest, sendTcpToGuest, setGuestUnderlay } from './guestTraffic.js';
import { makeQuietNamespace, UNDERLAY_A, UNDERLAY_B } from './hosts.js';
import { expectQuiet, type WeftNode } from './node.js';
import { ping } from './traffic.js';
import { readFields, record } from './tshark.js';

export const UNDERLAY_A6 = 'fd00:18::1';
export const UNDERLAY_B6 = 'fd00:18::2';
/** Device of the guest's tunnel. */
export const GUEST_TUNNEL = 't0';
const WIRE = 'g0';
/** Little: an emulated processor moves some tens of megabytes a second. */
const TCP_BYTES = 3_000_000;
const IPV4_ICMP = 28;
const IPV6_ICMP = 48;

export interface GuestRig {
  /** Namespace of weft. */
  namespace: string;
  guest: Guest;
}

/** Boots a guest behind a namespace; both have an IPv4 and an IPv6 address. */
export async function makeGuestRig(): Promise<GuestRig> {
  const namespace = makeQuietNamespace('a');
  const guest = await bootGuest({ link: { tap: { namespace, device: WIRE, address: `${UNDERLAY_A}/24` } } });
  addIpv6(namespace, WIRE, `${UNDERLAY_A6}/64`);
  await setGuestUnderlay(guest, `${UNDERLAY_B}/24`, `${UNDERLAY_B6}/64`);
  expect(await guestPing(guest, UNDERLAY_A, { count: 1 })).toBe(1);
  return { namespace, guest };
}

export interface Talk {
  /** Overlay addresses. */
  weft: string;
  guest: string;
  /** Largest inner packet. */
  mtu: number;
  /** Display filter that every packet of the tunnel passes, and nothing else. */
  filter: string;
  /** Arguments that make tshark read the tunnel. */
  decode?: string[];
}

/** The ways that tshark tells of a packet that is not right. */
const FAULTS = ['_ws.malformed', 'ip.checksum.status', 'udp.checksum.status', 'tcp.checksum.status'] as const;
const SENDER = ['ip.src', 'ipv6.src', 'tcp.checksum'] as const;
const CHECKS = [...FAULTS, 'icmp.checksum.status', 'icmpv6.checksum.status', 'frame.protocols', ...SENDER] as const;
const BAD = '0';

/**
 * A checksum of 0 that Linux wrote as 0xffff, as in UDP (`CSUM_MANGLED_0` of `skb_checksum_help`): the same number in one's complement, one packet
 * in 65,536. tshark calls it bad in TCP (RFC 1624); it may come from the guest's kernel, never from weft.
 */
function isMangledZero(row: Record<(typeof CHECKS)[number], string[]>): boolean {
  const sources = [...row['ip.src'], ...row['ipv6.src']];
  const isGuests = sources.includes(UNDERLAY_B) || sources.includes(UNDERLAY_B6);
  return isGuests && row['tcp.checksum'].includes('0xffff');
}

/** Pings and a TCP stream each way, and packets as long as the MTU; what both sides and tshark count then. */
export async function expectTalk({ namespace, guest }: GuestRig, node: WeftNode, talk: Talk): Promise<void> {
  const header = talk.guest.includes(':') ? IPV6_ICMP : IPV4_ICMP;
  const recording = await record(namespace, WIRE);
  expect(await ping(namespace, talk.guest, { count: 3 }), 'pings of weft').toBe(3);
  expect(await guestPing(guest, talk.weft), 'pings of the guest').toBe(3);
  const size = talk.mtu - header;
  expect(await ping(namespace, talk.guest, { size }), `pings of ${talk.mtu} bytes`).toBe(3);
  expect(await guestPing(guest, talk.weft, { size }), `pings of ${talk.mtu} bytes by the guest`).toBe(3);

  const toGuest = await sendTcpToGuest(namespace, guest, talk.guest, TCP_BYTES);
  expect(toGuest.received).toEqual(toGuest.sent);
  const toWeft = await sendTcpFromGuest(guest, namespace, talk.weft, TCP_BYTES);
  expect(toWeft.received).toEqual(toWeft.sent);

  const path = await recording.stop();
  const rows = await readFields(path, CHECKS, { decode: talk.decode });
  const faulty = rows.filter((row) =>
    FAULTS.some((name) => {
      if (name === 'tcp.checksum.status' && isMangledZero(row)) return false;
      return name === '_ws.malformed' ? row[name].length > 0 : row[name].includes(BAD);
    }),
  );
  expect(faulty.slice(0, 3)).toEqual([]);
  const inside = await readFields(path, ['frame.len'], { filter: talk.filter, decode: talk.decode });
  // 4 times 3 pings and their answers; at the least the data of both streams.
  expect(inside.length).toBeGreaterThan(24 + (2 * TCP_BYTES) / talk.mtu);

  const { rxErrors, txErrors, rxPackets, txPackets } = await guestCounts(guest, GUEST_TUNNEL);
  expect({ rxErrors, txErrors }).toEqual({ rxErrors: 0, txErrors: 0 });
  // A superframe counts once where the guest's kernel carries it whole.
  expect(Math.min(rxPackets, txPackets)).toBeGreaterThan(24 + TCP_BYTES / 65536);
  await expectQuiet(node);
  expect(await node.dropped()).toEqual({});
}

export type NetworkInput = ConfigInput['networks'][number];

/** VXLAN and Geneve have an identifier, the others none, and a preset has its own. */
export function vniOf({ encapsulation = 'vxlan', preset }: Partial<NetworkInput>): { vni?: number } {
  if (preset) return {};
  const kind = typeof encapsulation === 'string' ? encapsulation : encapsulation.type;
  return kind === 'vxlan' || kind === 'geneve' ? { vni: 42 } : {};
}

/** A node with one network over the guest's wire. */
export function nodeConfig(
  network: Partial<NetworkInput>,
  { isV6 = false, underlay = {} }: { isV6?: boolean; underlay?: object } = {},
): ConfigInput {
  return {
    underlays: [{ name: 'wire', address: isV6 ? UNDERLAY_A6 : UNDERLAY_A, ...underlay }],
    networks: [
      { name: 'blue', ...vniOf(network), underlay: 'wire', peers: [isV6 ? UNDERLAY_B6 : UNDERLAY_B], ...network },
    ],
  };
}
