import { LEARN_REFUSED, LEARNED, type MacTable, macHash, macKey, probe } from '../forward/macTable.js';
import {
  IS_OVERRIDE,
  IS_ROUTER,
  KNOWS_ROUTER,
  LEARN_STATIC,
  learnNeighbour,
  lookUpNeighbour,
  makeNeighbour,
  type NeighbourKey,
  type NeighbourTable,
} from '../forward/neighbourTable.js';
import type { Arena } from '../packet/arena.js';
import { type Burst, DONE, HAS_VLAN, ID_MASK, IS_DISCOVERY, IS_V6, NEEDS_CSUM, TO_PORT } from '../packet/burst.js';
import { bswap16, type ChecksumKernel, fold } from '../packet/checksum.js';
import type { Clock } from '../packet/clock.js';
import { DROP } from '../packet/drop.js';
import type { Port } from '../port/port.js';
import * as Address from '../wire/address.js';
import * as Arp from '../wire/arp.js';
import * as Ethernet from '../wire/ethernet.js';
import * as Icmpv6 from '../wire/icmpv6.js';
import * as Ipv6 from '../wire/ipv6.js';
import type { NeighbourAnswers } from './neighbourAnswers.js';
import type { Tables } from './tables.js';
import type { Transport } from './transport.js';

/**
 * Neighbour suppression: ARP and neighbour discovery that pass teach who has which address, and a request of a local station for an address
 * that is known is answered here instead of flooded.
 *
 * Answered is a request for which all of this holds; everything else goes on as it came:
 *
 * - It came from a port, as a group frame. What comes out of a tunnel is for the stations of the other ports (RFC 9161, Linux
 *   neigh_suppress), and a unicast request asks whether its receiver is still there.
 * - The asker is known as it says, MAC and place. Somebody new, or who has moved, is heard of by everybody first: there is no control plane that
 *   would tell the other nodes, and the request is what they learn from. So an asker floods once in an ageing time.
 * - It is not about the asker's own address: probes (RFC 5227), duplicate address detection (RFC 4862) and gratuitous ARP go to whom they concern.
 *   (RFC 9161 answers detection from the table; here the owner does, who knows better.)
 * - The MAC table knows the answer's MAC, elsewhere than at the asker's port, it was heard lately, and it has not moved since it claimed the
 *   address. One that is silent may have been started again with another MAC: it is asked itself. A static entry needs only not to be at the
 *   asker's port.
 * - An IPv6 neighbour has advertised itself: only then is it known whether it is a router.
 *
 * A claim against a static entry is dropped, wherever it comes from (`static-neighbour`). Frames with a VLAN ID are another link's: they pass
 * untouched. One with ID 0 has a priority only (IEEE 802.1Q section 6.9) and is as good as untagged.
 */
export type Suppress = (n: number, ports: readonly (Port | undefined)[]) => void;

/** Bytes in front of the options of neighbour discovery messages, from type 133 on (RFC 4861 section 4). */
const OPTIONS_OFF = [8, 16, 24, 24, 40];
/** A station that was not heard for so long answers for itself. */
const LATELY_SEC = 10;
const MALFORMED = -1;
const AMBIGUOUS = -2;
const MAPPED_WORD_2 = 0xffff_0000 | 0;

export function bindSuppress(
  arena: Arena,
  burst: Burst,
  tables: Tables,
  table: NeighbourTable,
  macTable: MacTable,
  kernel: ChecksumKernel,
  transport: Transport,
  answers: NeighbourAnswers,
  clock: Clock,
): Suppress {
  const { bytes, view } = arena;
  const { at, len, flags, drop, network, origin, dst, dstLo, l3 } = burst;
  const { suppresses, ageingSec } = tables;
  const key: NeighbourKey = { words: new Int32Array(4), network: 0 };
  const found = makeNeighbour();
  /** What the lane says of an address; the asker, if it asks. */
  const claim = makeNeighbour();
  let port: Port | undefined;
  let answered = 0;

  function setKeyV4(net: number, addressAt: number): void {
    key.network = net;
    key.words[0] = 0;
    key.words[1] = 0;
    key.words[2] = MAPPED_WORD_2;
    key.words[3] = view.getInt32(addressAt, true);
  }

  function setKeyV6(net: number, addressAt: number): void {
    key.network = net;
    for (let w = 0; w < 4; w++) key.words[w] = view.getInt32(addressAt + 4 * w, true);
  }

  function readClaim(i: number, macAt: number, claimFlags: number): void {
    claim.lo = view.getInt32(macAt, true);
    claim.hi = view.getUint16(macAt + 4, true);
    claim.flags = claimFlags;
    claim.place = origin[i];
  }

  /** Learns what `key` and `claim` say. True: it was known so. A claim against a static entry ends the lane. */
  function hear(i: number, mayLearn: boolean, mayReplace: boolean): boolean {
    const now = clock.seconds;
    // Without the lock, which may be busy: a static entry must win in any case.
    const isKnown = lookUpNeighbour(table, key, now, found);
    let did = LEARN_REFUSED;
    if (isKnown && found.isStatic && (found.lo !== claim.lo || found.hi !== claim.hi)) did = LEARN_STATIC;
    else if (mayLearn && claim.place !== 0 && (claim.lo & 1) === 0 && (claim.lo | claim.hi) !== 0)
      did = learnNeighbour(table, key, claim, mayReplace, now + ageingSec[key.network], now);
    if (did === LEARN_STATIC) drop[i] = DROP['static-neighbour'];
    return did === LEARNED;
  }

  const isFloodedFromPort = (i: number) => (origin[i] & TO_PORT) !== 0 && dst[i] === 0 && (dstLo[i] & 1) !== 0;

  /** Whether `key` is somebody else, elsewhere: fills `found`. */
  function isAnswerKnown(i: number): boolean {
    const now = clock.seconds;
    if (!lookUpNeighbour(table, key, now, found)) return false;
    if (found.lo === claim.lo && found.hi === claim.hi) return false;
    const mac = macKey(found.hi, key.network);
    const e = probe(macTable, macHash(found.lo, mac, macTable.entryMask), found.lo, mac);
    const value = macTable.entries[e + 2];
    const left = macTable.entries[e + 3] - now;
    if (value <= 0 || left <= 0) return found.isStatic;
    const isLate = left < ageingSec[key.network] - LATELY_SEC;
    return value !== origin[i] && (found.isStatic || (value === found.place && !isLate));
  }

  /** True where the answer may be written; the lane ends here. */
  function takes(i: number): boolean {
    if (port === undefined) return false;
    if (answered++ === 0) answers.begin(port);
    drop[i] = DONE;
    return true;
  }

  function arp(i: number, p: number): void {
    if (!Arp.check(bytes, p, at[i] + len[i])) return;
    const operation = Arp.operation(bytes, p);
    if (operation !== Arp.REQUEST && operation !== Arp.REPLY) return;
    const sender = Arp.senderIp(bytes, p);
    // A probe claims nothing yet (RFC 5227 section 1.1).
    if (sender === 0) return;
    setKeyV4(network[i], p + Arp.SENDER_IP_OFF);
    readClaim(i, p + Arp.SENDER_MAC_OFF, KNOWS_ROUTER | IS_OVERRIDE);
    const isKnown = hear(i, true, true);
    if (!isKnown || operation !== Arp.REQUEST || Arp.targetIp(bytes, p) === sender || !isFloodedFromPort(i)) return;
    setKeyV4(network[i], p + Arp.TARGET_IP_OFF);
    if (isAnswerKnown(i) && takes(i)) answers.reply(i, p, found.lo, found.hi);
  }

  /** Position of the option `wanted` between `optionsAt` and `end`; 0 without one, MALFORMED, or AMBIGUOUS: several that differ, or no MAC. */
  function optionAt(optionsAt: number, end: number, wanted: number): number {
    let first = 0;
    let isDoubtful = false;
    for (let p = optionsAt; p < end; ) {
      const optionLen = end - p < 8 ? 0 : bytes[p + 1] << 3;
      if (optionLen === 0 || optionLen > end - p) return MALFORMED;
      if (bytes[p] === wanted) {
        if (first === 0) first = p;
        if (optionLen !== 8 || !Ethernet.macEqual(bytes, first + 2, bytes, p + 2)) isDoubtful = true;
      }
      p += optionLen;
    }
    return isDoubtful ? AMBIGUOUS : first;
  }

  /** Which of several MACs a receiver takes is its own affair: of a static neighbour none of them may be wrong. */
  function refuseDoubt(i: number, addressAt: number): void {
    setKeyV6(network[i], addressAt);
    if (lookUpNeighbour(table, key, clock.seconds, found) && found.isStatic) drop[i] = DROP['static-neighbour'];
  }

  /** RFC 4861 section 6.1 and 7.1: what receivers discard is nobody's word. Returns the position of the message, or 0. */
  function messageAt(ip: number, end: number): number {
    const upper = Ipv6.upper(bytes, ip, end);
    // RFC 6980: no fragments.
    if (upper < 0 || Ipv6.isFragment(upper) || Ipv6.upperProtocol(upper) !== Ipv6.NEXT_ICMPV6) return 0;
    const p = ip + Ipv6.upperOff(upper);
    if (end - p < 8 || Ipv6.hopLimit(bytes, ip) !== 255 || bytes[p + Icmpv6.CODE_OFF] !== 0) return 0;
    const pseudo = kernel.sum(ip + Ipv6.SRC_OFF, 32) + bswap16(end - p) + bswap16(Ipv6.NEXT_ICMPV6);
    return fold(pseudo + kernel.sum(p, end - p)) === 0xffff ? p : 0;
  }

  const isUnspecified = (a: number) =>
    (view.getInt32(a) | view.getInt32(a + 4) | view.getInt32(a + 8) | view.getInt32(a + 12)) === 0;
  /** Addresses that name one station; IPv4-mapped ones would reach into the other family's entries. */
  const isStation = (a: number) => !Ipv6.isMulticast(bytes, a) && !isUnspecified(a) && !Address.isMapped(bytes, a);

  function advertisementFlags(p: number): number {
    const body = Icmpv6.body(bytes, p);
    return (
      KNOWS_ROUTER |
      ((body & Icmpv6.FLAG_ROUTER) !== 0 ? IS_ROUTER : 0) |
      ((body & Icmpv6.FLAG_OVERRIDE) !== 0 ? IS_OVERRIDE : 0)
    );
  }

  /** Who solicits, or advertises a router, says who it is; true: that was known. */
  function hearSource(i: number, ip: number, macAt: number, sourceFlags: number): boolean {
    if (macAt === 0 || !isStation(ip + Ipv6.SRC_OFF)) return false;
    setKeyV6(network[i], ip + Ipv6.SRC_OFF);
    readClaim(i, macAt, sourceFlags);
    return hear(i, true, true);
  }

  /** A target with its MAC: of an advertisement, or what a redirect says of somebody else, which may lie but not be learned. */
  function hearTarget(i: number, p: number, macAt: number, isAdvertisement: boolean): void {
    if (macAt === 0 || !isStation(p + Icmpv6.TARGET_OFF)) return;
    const flagsOf = isAdvertisement ? advertisementFlags(p) : 0;
    setKeyV6(network[i], p + Icmpv6.TARGET_OFF);
    readClaim(i, macAt, flagsOf);
    hear(i, isAdvertisement, (flagsOf & IS_OVERRIDE) !== 0);
  }

  function solicitation(i: number, ip: number, p: number, macAt: number): void {
    const targetAt = p + Icmpv6.TARGET_OFF;
    const isKnown = hearSource(i, ip, macAt, 0);
    if (!isKnown || !isFloodedFromPort(i) || !isStation(targetAt)) return;
    setKeyV6(network[i], targetAt);
    if (!isAnswerKnown(i) || (found.flags & KNOWS_ROUTER) === 0) return;
    const { lo, hi } = found;
    const router = (found.flags & IS_ROUTER) !== 0 ? Icmpv6.FLAG_ROUTER : 0;
    const override = (found.flags & IS_OVERRIDE) !== 0 ? Icmpv6.FLAG_OVERRIDE : 0;
    if (takes(i)) answers.advertise(i, ip, targetAt, macAt, lo, hi, router | Icmpv6.FLAG_SOLICITED | override);
  }

  function discovery(i: number, ip: number): void {
    const end = Ipv6.endAt(bytes, ip);
    const p = messageAt(ip, end);
    if (p === 0) return;
    const type = Icmpv6.type(bytes, p);
    const optionsAt = p + OPTIONS_OFF[type - Icmpv6.ROUTER_SOLICITATION];
    if (optionsAt > end) return;
    const isOfTarget = type === Icmpv6.NEIGHBOUR_ADVERTISEMENT || type === Icmpv6.REDIRECT;
    const wanted = isOfTarget ? Icmpv6.OPTION_TARGET_LINK_LAYER : Icmpv6.OPTION_SOURCE_LINK_LAYER;
    const option = optionAt(optionsAt, end, wanted);
    if (option === AMBIGUOUS) refuseDoubt(i, isOfTarget ? p + Icmpv6.TARGET_OFF : ip + Ipv6.SRC_OFF);
    if (option < 0) return;
    const macAt = option === 0 ? 0 : option + 2;
    if (isOfTarget) hearTarget(i, p, macAt, type === Icmpv6.NEIGHBOUR_ADVERTISEMENT);
    else if (type === Icmpv6.NEIGHBOUR_SOLICITATION) solicitation(i, ip, p, macAt);
    else {
      const isRouter = type === Icmpv6.ROUTER_ADVERTISEMENT;
      hearSource(i, ip, macAt, isRouter ? KNOWS_ROUTER | IS_ROUTER | IS_OVERRIDE : 0);
    }
  }

  /** Where the network header begins; 0 for a frame of a VLAN. */
  function untaggedL3(i: number): number {
    const p = at[i] + Ethernet.HEADER_BYTES;
    if ((flags[i] & HAS_VLAN) === 0) return p;
    const l3At = Ethernet.l3At(bytes, at[i], at[i] + len[i]);
    for (let tagAt = p - 2; tagAt < l3At - 2; tagAt += Ethernet.TAG_BYTES)
      if (Ethernet.vlanId(bytes, tagAt) !== 0) return 0;
    return Math.max(0, l3At);
  }

  function suppressLane(i: number): void {
    const p = untaggedL3(i);
    if (p === 0) return;
    // What the frame will be for its receivers: a checksum that somebody else is to finish may be written anywhere.
    if ((flags[i] & NEEDS_CSUM) !== 0) transport.complete(i);
    if ((flags[i] & IS_V6) === 0) arp(i, p);
    else if (l3[i] === p) discovery(i, p);
  }

  return function suppress(n, ports) {
    answered = 0;
    // Lanes of a burst that come from a port all do.
    port = (origin[0] & TO_PORT) !== 0 ? ports[origin[0] & ID_MASK] : undefined;
    for (let i = 0; i < n; i++) {
      if ((flags[i] & IS_DISCOVERY) === 0 || drop[i] !== 0 || suppresses[network[i]] === 0) continue;
      suppressLane(i);
    }
    if (answered > 0) answers.flush();
  };
}
