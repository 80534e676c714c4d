import type { Arena } from '../packet/arena.js';
import { type Burst, DONE } from '../packet/burst.js';
import { type ChecksumKernel, fold } from '../packet/checksum.js';
import type { Clock } from '../packet/clock.js';
import { CONSUMED, ROW_WIDTH } from '../packet/counters.js';
import { DROP } from '../packet/drop.js';
import {
  ASK_ALL,
  age,
  confirm,
  GENERATION,
  macNumber,
  macOf,
  type NextHops,
  overhear,
  REST,
  rowOf,
  WANTED,
} from '../underlay/nextHops.js';
import type { FrameUnderlay, Underlay } from '../underlay/underlay.js';
import * as Address from '../wire/address.js';
import * as Arp from '../wire/arp.js';
import { get32 } from '../wire/bytes.js';
import * as Ethernet from '../wire/ethernet.js';
import * as Icmp from '../wire/icmp.js';
import * as Icmpv6 from '../wire/icmpv6.js';
import * as Ipv4 from '../wire/ipv4.js';
import * as Ipv6 from '../wire/ipv6.js';
import type { LinkMessages } from './linkMessages.js';
import type { Plan } from './plan.js';
import type { Tables } from './tables.js';
import { setNextHopMac } from './templates.js';

/**
 * A node as a host on the link of a frame underlay: it answers ARP, neighbour solicitations and echo requests for its address, and knows the
 * next hops to its peers.
 *
 *   frames for nobody -> meet -> what they say goes into the table of next hops -> generation -> refresh: templates of the peers behind
 *   a second passed   -> tick -> requests, by the plan's first worker
 *
 * Next hops are kept resolved whether there is traffic or not, so no packet has to wait for an answer: what goes to one that is not known is
 * dropped (`no-neighbour`), and has it asked for again.
 */
export interface LinkHosts {
  /** Between two turns. */
  configure(plan: Plan): void;
  /** Frames of a burst that were not for a tunnel. Those that are for the host end here. */
  meet(n: number, underlay: FrameUnderlay, row: number): void;
  /** Brings templates up to date; one comparison when nothing changed. */
  refresh(): void;
  /** A packet to the peer was dropped for want of its MAC. */
  want(peer: number): void;
  /** Asks what is to be asked, on all underlays. */
  tick(underlays: readonly (Underlay | undefined)[]): void;
}

/** Answers of each worker in a second. */
const ANSWERS_A_SECOND = 1000;
const DISCOVERY_HOPS = 255;
const FRAGMENT_BITS = 0x3fff;
/** All nodes of the link, ff02::1. */
const ALL_NODES = Uint8Array.of(0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);
const ALL_NODES_MAC = 0x3333_0000_0001;
const NO_MAC = new Uint8Array(6);

interface LinkHost {
  mac: Uint8Array;
  /** 4 or 16 bytes. */
  address: Uint8Array;
  /** Ids of next hops, and their addresses. */
  hops: { id: number; address: Uint8Array }[];
  /** The same by their last four bytes. */
  byWord: Map<number, number[]>;
  isAnnounced: boolean;
}

const wordOf = (bytes: Uint8Array, at: number, length: number) => get32(bytes, at + length - 4);

function hostsOf(plan: Plan, before: Map<number, LinkHost>): Map<number, LinkHost> {
  const hosts = new Map<number, LinkHost>();
  for (const { id, address, frame } of plan.underlays) {
    if (frame?.resolver?.by !== 'weft') continue;
    const mac = Ethernet.macFromText(frame.mac) as Uint8Array;
    const own = Address.fromText(address) as Uint8Array;
    const hops = (plan.nextHops ?? [])
      .filter((hop) => hop.underlay === id)
      .map((hop) => ({ id: hop.id, address: Address.fromText(hop.address) as Uint8Array }));
    const byWord = new Map<number, number[]>();
    hops.forEach((hop, index) => {
      const word = wordOf(hop.address, 0, own.length);
      byWord.set(word, [...(byWord.get(word) ?? []), index]);
    });
    const earlier = before.get(id);
    const isSame =
      earlier !== undefined && String(earlier.mac) === String(mac) && String(earlier.address) === String(own);
    hosts.set(id, { mac, address: own, hops, byWord, isAnnounced: isSame && earlier.isAnnounced });
  }
  return hosts;
}

export function bindLinkHosts(
  arena: Arena,
  burst: Burst,
  tables: Tables,
  kernel: ChecksumKernel,
  counters: Float64Array,
  table: NextHops,
  clock: Clock,
  say: LinkMessages,
): LinkHosts {
  const { bytes, view } = arena;
  const { at, len, drop } = burst;
  const { words } = table;
  const { peerNextHop } = tables;
  const notForUs = DROP['not-for-us'];
  let hosts = new Map<number, LinkHost>();
  let host: LinkHost;
  /** Peers with next hops that are looked for, and the MAC in the templates of each. */
  let peers: { id: number; hop: number; mac: number }[] = [];
  let seen = -1;
  let second = 0;
  let left = 0;

  function mayAnswer(): boolean {
    if (second !== clock.seconds) {
      second = clock.seconds;
      left = ANSWERS_A_SECOND;
    }
    return left-- > 0;
  }

  const isOwn = (from: Uint8Array, o: number) => {
    for (let k = 0; k < host.address.length; k++) if (from[o + k] !== host.address[k]) return false;
    return true;
  };

  /** The next hop with the address at `o`, 0 for none. */
  function hopAt(o: number): number {
    const length = host.address.length;
    const candidates = host.byWord.get(wordOf(bytes, o, length));
    if (candidates === undefined) return 0;
    for (const index of candidates) {
      const { id, address } = host.hops[index];
      let k = 0;
      while (k < length && address[k] === bytes[o + k]) k++;
      if (k === length) return id;
    }
    return 0;
  }

  /** For this station or for a group: a device that takes all brings what is for others, too. */
  function isForUs(o: number): boolean {
    return Ethernet.isGroup(bytes, o) || Ethernet.macEqual(bytes, o, host.mac, 0);
  }

  const isStation = (macAt: number) => !Ethernet.isGroup(bytes, macAt) && !Ethernet.isZero(bytes, macAt);

  /** RFC 826, and RFC 5227 for probes, whose sender has no address yet. */
  function meetArp(o: number, end: number): boolean {
    const p = o + Ethernet.HEADER_BYTES;
    const senderMac = p + Arp.SENDER_MAC_OFF;
    if (host.address.length !== 4 || !Arp.check(bytes, p, end) || !isStation(senderMac)) return false;
    const forOwn = isOwn(bytes, p + Arp.TARGET_IP_OFF);
    const operation = Arp.operation(bytes, p);
    const hop = hopAt(p + Arp.SENDER_IP_OFF);
    if (hop > 0) {
      const mac = macNumber(bytes, senderMac);
      if (forOwn && operation === Arp.REPLY && !Ethernet.isGroup(bytes, o)) confirm(table, hop, mac, clock.seconds);
      else overhear(table, hop, mac);
    }
    if (forOwn && operation === Arp.REQUEST && mayAnswer())
      say.arp(Arp.REPLY, macNumber(bytes, senderMac), bytes, senderMac, Arp.senderIp(bytes, p));
    return forOwn || hop > 0;
  }

  /** RFC 4861 section 7.2.4: to who asked; one that looks whether the address is taken has none yet. */
  function answerSolicitation(o: number, ip: number, icmp: number, end: number): void {
    const sourceAt = ip + Ipv6.SRC_OFF;
    const option = Icmpv6.optionAt(bytes, icmp + Icmpv6.NEIGHBOUR_OPTIONS_OFF, end, Icmpv6.OPTION_SOURCE_LINK_LAYER);
    const macAt = option < 0 ? o + 6 : option + 2;
    if (isUnspecified(sourceAt)) {
      if (mayAnswer()) say.advertise(ALL_NODES_MAC, ALL_NODES, 0, Icmpv6.FLAG_OVERRIDE);
      return;
    }
    if (!isStation(macAt)) return;
    const hop = hopAt(sourceAt);
    if (hop > 0) overhear(table, hop, macNumber(bytes, macAt));
    if (mayAnswer())
      say.advertise(macNumber(bytes, macAt), bytes, sourceAt, Icmpv6.FLAG_SOLICITED | Icmpv6.FLAG_OVERRIDE);
  }

  const isUnspecified = (o: number) =>
    (view.getInt32(o) | view.getInt32(o + 4) | view.getInt32(o + 8) | view.getInt32(o + 12)) === 0;

  /** RFC 4861 section 7.2.5. */
  function hearAdvertisement(icmp: number, end: number): boolean {
    const hop = hopAt(icmp + Icmpv6.TARGET_OFF);
    if (hop === 0) return false;
    const option = Icmpv6.optionAt(bytes, icmp + Icmpv6.NEIGHBOUR_OPTIONS_OFF, end, Icmpv6.OPTION_TARGET_LINK_LAYER);
    const known = macOf(table, hop);
    const mac = option >= 0 && isStation(option + 2) ? macNumber(bytes, option + 2) : known;
    const flags = Icmpv6.body(bytes, icmp);
    if (mac === 0 || (known !== 0 && mac !== known && (flags & Icmpv6.FLAG_OVERRIDE) === 0)) return true;
    if ((flags & Icmpv6.FLAG_SOLICITED) !== 0) confirm(table, hop, mac, clock.seconds);
    else overhear(table, hop, mac);
    return true;
  }

  function meetIcmpv6(o: number, end: number): boolean {
    const ip = o + Ethernet.HEADER_BYTES;
    if (host.address.length !== 16 || !Ipv6.check(bytes, ip, end) || Ipv6.nextHeader(bytes, ip) !== Ipv6.NEXT_ICMPV6)
      return false;
    const icmp = ip + Ipv6.HEADER_BYTES;
    const length = Ipv6.payloadLength(bytes, ip);
    const messageEnd = icmp + length;
    if (!Icmpv6.check(bytes, icmp, messageEnd) || !Icmpv6.checksumIsRight(bytes, ip, icmp, length)) return false;
    const type = Icmpv6.type(bytes, icmp);
    if (type === Icmpv6.ECHO_REQUEST) {
      if (!isOwn(bytes, ip + Ipv6.DST_OFF) || bytes[ip + Ipv6.SRC_OFF] === 0xff || isUnspecified(ip + Ipv6.SRC_OFF))
        return false;
      if (mayAnswer()) say.echo(ip, icmp, length);
      return true;
    }
    if (!Icmpv6.isNeighbour(bytes, icmp) || Ipv6.hopLimit(bytes, ip) !== DISCOVERY_HOPS) return false;
    if (type === Icmpv6.NEIGHBOUR_ADVERTISEMENT) return hearAdvertisement(icmp, messageEnd);
    if (!isOwn(bytes, icmp + Icmpv6.TARGET_OFF)) return false;
    answerSolicitation(o, ip, icmp, messageEnd);
    return true;
  }

  /** Whole echo requests only: who pings with fragments has to ask another one. */
  function meetEcho(o: number, end: number): boolean {
    const ip = o + Ethernet.HEADER_BYTES;
    if (host.address.length !== 4 || !Ipv4.check(bytes, ip, end) || Ipv4.protocol(bytes, ip) !== Ipv4.PROTOCOL_ICMP)
      return false;
    if (!isOwn(bytes, ip + 16) || (view.getUint16(ip + 6) & FRAGMENT_BITS) !== 0) return false;
    const icmp = Ipv4.payloadAt(bytes, ip);
    const length = Ipv4.endAt(bytes, ip) - icmp;
    if (length < Icmp.HEADER_BYTES || Icmp.type(bytes, icmp) !== Icmp.ECHO_REQUEST) return false;
    if (fold(kernel.sum(icmp, length)) !== 0xffff || bytes[ip + 12] >= 224 || view.getInt32(ip + 12) === 0)
      return false;
    if (mayAnswer()) say.echo(ip, icmp, length);
    return true;
  }

  function meetFrame(i: number): boolean {
    const o = at[i];
    const end = o + len[i];
    if (len[i] < Ethernet.HEADER_BYTES || !isForUs(o) || !isStation(o + 6)) return false;
    // The own frames, back from a loop or a device that mirrors them.
    if (Ethernet.macEqual(bytes, o + 6, host.mac, 0)) return false;
    const type = view.getUint16(o + 12);
    if (type === Ethernet.TYPE_ARP) return meetArp(o, end);
    if (type === Ethernet.TYPE_IPV6) return meetIcmpv6(o, end);
    return type === Ethernet.TYPE_IPV4 && meetEcho(o, end);
  }

  /** Anybody who has the address, or an old MAC for it, hears of it (RFC 5227 section 3, RFC 4861 section 7.2.6). */
  function announce(): void {
    host.isAnnounced = true;
    if (host.address.length === 4) say.arp(Arp.REQUEST, 0, NO_MAC, 0, get32(host.address, 0));
    else say.advertise(ALL_NODES_MAC, ALL_NODES, 0, Icmpv6.FLAG_OVERRIDE);
  }

  function tickHost(): void {
    if (!host.isAnnounced) announce();
    for (const { id, address } of host.hops) {
      const whom = age(table, id, clock.seconds);
      if (whom === REST) continue;
      const to = whom === ASK_ALL ? 0 : macOf(table, id);
      if (address.length === 4) say.arp(Arp.REQUEST, to, NO_MAC, 0, get32(address, 0));
      else say.solicit(to, address, 0);
    }
  }

  return {
    configure(plan) {
      hosts = hostsOf(plan, hosts);
      peers = plan.peers.flatMap(({ id, nextHop }) => (nextHop === undefined ? [] : [{ id, hop: nextHop, mac: 0 }]));
      seen = -1;
    },
    meet(n, underlay, row) {
      const found = hosts.get(underlay.id);
      if (found === undefined) return;
      host = found;
      say.begin(underlay, host.mac, host.address);
      let consumed = 0;
      for (let i = 0; i < n; i++) {
        if (drop[i] !== notForUs || !meetFrame(i)) continue;
        drop[i] = DONE;
        consumed++;
      }
      counters[row * ROW_WIDTH + CONSUMED] += consumed;
      say.flush();
    },
    refresh() {
      const generation = Atomics.load(words, GENERATION);
      if (generation === seen) return;
      seen = generation;
      for (const peer of peers) {
        const mac = macOf(table, peer.hop);
        if (mac === peer.mac) continue;
        peer.mac = mac;
        setNextHopMac(tables, peer.id, mac);
      }
    },
    want(peer) {
      if (peerNextHop[peer] !== 0) words[rowOf(peerNextHop[peer]) + WANTED] = 1;
    },
    tick(underlays) {
      for (const [id, one] of hosts) {
        const underlay = underlays[id];
        if (underlay === undefined || underlay.kind !== 'frame') continue;
        host = one;
        say.begin(underlay, host.mac, host.address);
        tickHost();
        say.flush();
      }
    },
  };
}
