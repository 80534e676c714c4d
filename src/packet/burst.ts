import type { Allocate } from './arena.js';

/**
 * A burst: up to LANES frames handled together, as struct-of-arrays columns. One frame is one lane, an index into every column.
 * A lane is contiguous in the arena (slot, at, len). One slot may carry several lanes: a UDP_GRO super-datagram is up to 64 of them.
 *
 * All columns are Int32Array over shared memory: one element kind at every hot call site. Their order is known to the walk's kernel.
 */
export const LANES = 64;

/** Lane flags. */
export const IS_V4 = 1;
export const IS_V6 = 2;
export const IS_TCP = 4;
export const IS_UDP = 8;
export const IS_FRAGMENT = 16;
export const HAS_VLAN = 32;
/** The checksum at csumStart + csumOffset holds only the pseudo header's sum (VIRTIO_NET_HDR_F_NEEDS_CSUM). */
export const NEEDS_CSUM = 64;
/** A superframe: gsoType and gsoSize are set. Never without NEEDS_CSUM once checkOffloads has passed it. */
export const HAS_GSO = 1024;
/** The lane came out of a tunnel. */
export const FROM_PEER = 128;
/** The transport checksum was verified in this turn. */
export const CSUM_VALID = 256;
/** The IPv4 header has options or the IPv6 header has extensions: never coalesced. */
export const HAS_OPTIONS = 512;
/** A heartbeat of another weft node (wire/heartbeat.ts), by the places in its headers. */
export const IS_HEARTBEAT = 2048;
/** ARP, or an ICMPv6 message of neighbour discovery. The summary has it, too. */
export const IS_DISCOVERY = 4096;
/** A TCP segment with SYN: it may carry an MSS option. */
export const IS_SYN = 8192;

/** Value of `origin` and `dst`: where a MAC lives. 0 is nowhere. */
export const TO_PORT = 1 << 20;
export const TO_PEER = 2 << 20;
export const ID_MASK = TO_PORT - 1;

export interface Burst {
  /** Slot that holds the lane, -1 when it is not the burst's to release. */
  readonly slot: Int32Array;
  /** Byte position of the frame's first byte in the arena. */
  readonly at: Int32Array;
  readonly len: Int32Array;
  /** Packets on the wire: 1, or the segments of a superframe. */
  readonly packets: Int32Array;
  readonly gsoType: Int32Array;
  readonly gsoSize: Int32Array;
  /** From the frame's first byte, as in virtio_net_hdr. */
  readonly csumStart: Int32Array;
  readonly csumOffset: Int32Array;
  readonly flags: Int32Array;
  /** Drop reason, 0 while the lane lives. */
  readonly drop: Int32Array;
  readonly network: Int32Array;
  /** TO_PORT | id or TO_PEER | id where the frame came from; 0 for an unknown peer. */
  readonly origin: Int32Array;
  /** TO_PORT | id or TO_PEER | id where it goes; 0 = flood. */
  readonly dst: Int32Array;
  /** Inner TOS or traffic class, 0 for what is not IP. */
  readonly tos: Int32Array;
  /** TOS of the outer header that the lane came in, -1 unknown. */
  readonly outerTos: Int32Array;
  /** Index of the outer source address in the outbox's rxSrc (four words each). */
  readonly from: Int32Array;
  readonly flow: Int32Array;
  /** Byte position of the IP header, 0 for what is not IP or malformed. */
  readonly l3: Int32Array;
  /** Byte position of a complete TCP or UDP header, else 0. */
  readonly l4: Int32Array;
  /** MAC addresses as little-endian words: bytes 0-3 and 4-5. */
  readonly dstLo: Int32Array;
  readonly dstHi: Int32Array;
  readonly srcLo: Int32Array;
  readonly srcHi: Int32Array;
  /** Where the probes for the two MACs begin in the MAC table (the prefetch step). */
  readonly srcEntry: Int32Array;
  readonly dstEntry: Int32Array;
  /** Lanes that the last kernel function left to the form in TypeScript. */
  readonly careful: Int32Array;
  /** Kind of tunnel that the lane came in (tunnel/tunnel.ts), 0 for none. */
  readonly tunnel: Int32Array;
  /** VNI or key of that tunnel's header. */
  readonly key: Int32Array;
  /** EtherType of what the tunnel carries: PAYLOAD_ETHERNET, or that of an IP packet. */
  readonly payload: Int32Array;
  /** Bytes of tunnel options (Geneve) right in front of `at`. */
  readonly metaLen: Int32Array;
  /** What the parse step saw of the burst as a whole: SUMMARY_* words. */
  readonly summary: Int32Array;
}

/** Values of `drop` that are no reason: lanes that wait for another pass over the burst, and lanes that had theirs or were answered. */
export const PARKED = 62;
export const DONE = 63;

/** Value of `payload` for whole Ethernet frames: Transparent Ethernet Bridging (RFC 1701, used by GRE, Geneve and NVGRE). */
export const PAYLOAD_ETHERNET = 0x6558;

/** What devices said of all lanes (flags before the parse step), and IS_SYN. */
export const SUMMARY_FLAGS = 0;
/** Bytes of all lanes. */
export const SUMMARY_BYTES = 1;
/** Packets of the lanes that the kernel's admit took (tunnel/kernel.ts). */
export const SUMMARY_PACKETS = 2;
/** Egress list of all lanes, as the lookup step has found it (pipeline/walk.ts); -1 when they have several, or some are dropped or flooded. */
export const SUMMARY_EGRESS = 4;

export function sharedInts(count: number): Int32Array {
  return new Int32Array(new SharedArrayBuffer(count * 4));
}

/** The columns, in the order in which they lie: the walk's kernel knows it by offsets (pipeline/walk.as.ts). */
export function createBurst(allocate: Allocate = sharedInts): Burst {
  const column = () => allocate(LANES);
  return {
    slot: column(),
    at: column(),
    len: column(),
    packets: column(),
    gsoType: column(),
    gsoSize: column(),
    csumStart: column(),
    csumOffset: column(),
    flags: column(),
    drop: column(),
    network: column(),
    origin: column(),
    dst: column(),
    tos: column(),
    outerTos: column(),
    from: column(),
    flow: column(),
    l3: column(),
    l4: column(),
    dstLo: column(),
    dstHi: column(),
    srcLo: column(),
    srcHi: column(),
    srcEntry: column(),
    dstEntry: column(),
    careful: column(),
    tunnel: column(),
    key: column(),
    payload: column(),
    metaLen: column(),
    summary: allocate(8),
  };
}
