import type { Arena } from '../packet/arena.js';
import { type Burst, FROM_PEER, PAYLOAD_ETHERNET, SUMMARY_BYTES, SUMMARY_PACKETS, TO_PEER } from '../packet/burst.js';
import type { Clock } from '../packet/clock.js';
import { LAST_HEARD, PEER_ROW, ROW_WIDTH, RX_BYTES, RX_PACKETS } from '../packet/counters.js';
import { DROP } from '../packet/drop.js';
import * as Vxlan from '../wire/vxlan.js';
import type { TunnelKernel } from './kernel.js';
import { KIND } from './tunnel.js';
import { ROW_ACCEPTS, ROW_NETWORK, type VtepTable, vtepKey } from './vtep.js';

/**
 * The step behind every kind's decap: which network is the packet for, which peer sent it, and does the network carry what is inside.
 * One piece for all kinds, so that source guard and counters are the same for each.
 */

/** A packet of an unknown VTEP was accepted: the control thread may want to know it as a peer. */
export type UnknownPeer = (underlay: number, network: number, sourceAt: number) => void;

/** What admit asks of the compiled plan, by network. */
export interface AdmitTables {
  readonly vteps: VtepTable;
  /** CARRIES_*. */
  readonly networkCarries: Int32Array;
  /** Bits that admit hands on: forward steps of the networks. */
  readonly networkMode: Int32Array;
  /** Own MAC inside of the tunnel, as two little-endian words. */
  readonly networkVtepLo: Int32Array;
  readonly networkVtepHi: Int32Array;
  /** Networks whose peers are followed to other addresses (roaming): 1. */
  readonly networkRoams: Int32Array;
}

/** Bits of `networkCarries`: Ethernet frames or bare IP packets, and whether flag P of a VXLAN header counts. */
export const CARRIES_IP = 1;
/** IP packets behind an Ethernet header that ends here. */
export const CARRIES_ROUTED_ETHERNET = 2;
export const CARRIES_GPE = 4;
/** What admit returns beside them: a network whose peers roam had packets of unknown senders. `network` says which one, although they are dropped. */
export const HAS_STRANGERS = 8;
/** The network matches Geneve options, or keeps the order of GRE sequence numbers. */
export const WANTS_OPTIONS = 16;
export const IS_ORDERED = 32;
/** What admit returns: CARRIES_* of all networks below, their modes above. */
export const MODES_SHIFT = 8;

const ETHERNET = 14;

export function bindAdmit(
  arena: Arena,
  burst: Burst,
  sources: Int32Array,
  tables: AdmitTables,
  kernel: Pick<TunnelKernel, 'admit'>,
  clock: Clock,
  counters: Float64Array,
  onUnknownPeer: UnknownPeer,
): (n: number, carrier: number) => number {
  const { view } = arena;
  const { at, len, drop, flags, network, origin, from, tunnel, key, payload, summary } = burst;
  const { vteps, networkCarries, networkMode, networkVtepLo, networkVtepHi, networkRoams } = tables;
  const { networkRows } = vteps;
  // Imported constants are cells that V8 loads and checks at every use; local ones are folded into the code.
  const fromPeer = FROM_PEER;
  const toPeer = TO_PEER;
  const ethernet = PAYLOAD_ETHERNET;
  const vxlan = KIND.vxlan;
  const unknownPeer = DROP['unknown-peer'];
  const hasStrangers = HAS_STRANGERS;
  // Networks whose lanes differ by more than what they carry.
  const headerCounts = CARRIES_ROUTED_ETHERNET | CARRIES_GPE;
  const modesShift = MODES_SHIFT;
  const summaryPackets = SUMMARY_PACKETS;
  const summaryBytes = SUMMARY_BYTES;

  // What the last lookup found: lanes in a row mostly have one sender and one id.
  let net = 0;
  let peer = 0;
  let reason = 0;

  function find(carrier: number, kind: number, id: number, source: number): void {
    reason = 0;
    peer = 0;
    const k = vtepKey(carrier, kind);
    const row = vteps.findNetwork(k, id);
    if (row < 0) {
      reason = DROP['unknown-vni'];
      return;
    }
    net = networkRows[row + ROW_NETWORK];
    peer = vteps.findPeer(k, id, sources, source);
    if (peer === 0 && networkRows[row + ROW_ACCEPTS] === 0) reason = unknownPeer;
    // Plain routed packets (kind 0) have no tunnel endpoint.
    else if (peer === 0 && kind !== 0) onUnknownPeer(carrier, net, source);
  }

  /** Counters are touched once for a run of lanes: adding to a double in memory for each would wait for the last addition. */
  function countRun(packets: number, bytes: number): void {
    if (packets === 0 || peer === 0) return;
    const row = (PEER_ROW + peer) * ROW_WIDTH;
    counters[row + RX_PACKETS] += packets;
    counters[row + RX_BYTES] += bytes;
    counters[row + LAST_HEARD] = clock.seconds;
  }

  const isSameSource = (a: number, b: number) =>
    a === b ||
    (sources[a + 3] === sources[b + 3] &&
      sources[a + 2] === sources[b + 2] &&
      sources[a + 1] === sources[b + 1] &&
      sources[a] === sources[b]);

  /** The Ethernet header of an L3 network's packet, which ends here: `payload` becomes its type. Returns a drop reason, or 0. */
  function checkEthernet(i: number): number {
    const o = at[i];
    if (len[i] <= ETHERNET) return DROP['malformed-tunnel'];
    const isOurs = view.getInt32(o, true) === networkVtepLo[net] && view.getUint16(o + 4, true) === networkVtepHi[net];
    if (!isOurs) return DROP['wrong-mac'];
    payload[i] = view.getUint16(o + 12);
    return 0;
  }

  /** Networks that carry anything but plain frames. Returns a drop reason, or 0 and the lane stands at its frame or packet. */
  function checkPayload(i: number): number {
    const carries = tunnel[i] === 0 ? CARRIES_IP : networkCarries[net];
    if (tunnel[i] === vxlan) {
      if ((carries & CARRIES_GPE) === 0) payload[i] = ethernet;
      else {
        const flagBits = view.getUint8(at[i] - Vxlan.HEADER_BYTES);
        if ((flagBits & Vxlan.VERSION_MASK) !== 0) return DROP['tunnel-flags'];
        if ((flagBits & Vxlan.FLAG_OAM) !== 0) return DROP['tunnel-control'];
      }
    }
    if ((carries & CARRIES_ROUTED_ETHERNET) !== 0) {
      const wrong = payload[i] === ethernet ? checkEthernet(i) : DROP['tunnel-protocol'];
      if (wrong !== 0) return wrong;
    }
    const isIp = payload[i] === 0x0800 || payload[i] === 0x86dd;
    return ((carries & CARRIES_IP) !== 0 ? isIp : payload[i] === ethernet) ? 0 : DROP['tunnel-protocol'];
  }

  /** Returns CARRIES_* of all networks of the lanes and HAS_STRANGERS, and their modes from MODES_SHIFT on. Runs of lanes that are alike are the kernel's. */
  return function admit(n, carrier) {
    let seen = 0;
    let lastKind = -1;
    let lastId = 0;
    let lastSource = 0;
    let packets = 0;
    let bytes = 0;
    for (let i = 0; i < n; i++) {
      if (drop[i] !== 0) continue;
      const id = key[i];
      const kind = tunnel[i];
      const source = from[i] << 2;
      if (id !== lastId || kind !== lastKind || !isSameSource(source, lastSource)) {
        countRun(packets, bytes);
        packets = 0;
        bytes = 0;
        find(carrier, kind, id, source);
      }
      lastKind = kind;
      lastId = id;
      lastSource = source;
      if (reason !== 0) {
        drop[i] = reason;
        if (reason === unknownPeer && networkRoams[net] !== 0) {
          network[i] = net;
          seen |= hasStrangers;
        }
        continue;
      }
      const carries = networkCarries[net];
      const lanesOrigin = peer === 0 ? 0 : toPeer | peer;
      network[i] = net;
      if (carries !== 0 || payload[i] !== ethernet) {
        const wrong = checkPayload(i);
        if (wrong !== 0) {
          drop[i] = wrong;
          continue;
        }
      }
      seen |= carries | (networkMode[net] << modesShift);
      if ((carries & headerCounts) === 0) {
        i = kernel.admit(i, n, net, lanesOrigin) - 1;
        packets += summary[summaryPackets];
        bytes += summary[summaryBytes];
        continue;
      }
      // What is counted is the packet, as on the way out.
      if ((carries & CARRIES_ROUTED_ETHERNET) !== 0 && kind !== 0) bytes -= ETHERNET;
      flags[i] |= fromPeer;
      origin[i] = lanesOrigin;
      packets++;
      bytes += len[i];
    }
    countRun(packets, bytes);
    return seen;
  };
}
