// Random and damaged input through the whole walk: datagrams into decap, outer frames into a frame underlay, local frames with whatever a
// device may say of them. Nothing throws, every packet is accounted for, every slot is home, and nothing is sent that is longer than
// what came and its headers, or that a second reader finds wrong.
import { describe, expect } from 'vitest';
import { drainHeartbeats, makeHeartbeatRing } from '../../src/pipeline/heartbeats.js';
import { fuzzWith } from '../rig/batches.js';
import { decode, decodeOuter, isIpChecksumRight, isTransportChecksumRight } from '../rig/decode.js';
import { arpRequest, join, noise, outer, toHex, vxlan } from '../rig/frames.js';
import type { Datagram, SentMessage } from '../rig/kernel.js';
import { type Delivered, FRAMES, makeRig, network, PEER_A, PEER_B, peer, type Rig } from '../rig/pipeline.js';
import { anyFrame, anyOffload, damage, type Random, superframe } from '../rig/random.js';

const LONGEST_IP = 65_535 + 22;

/** Heartbeats of all rigs. */
const ring = makeHeartbeatRing();

function fuzzRig(r: Random): Rig {
  const rig = makeRig({
    ports: {
      a: { id: 1, network: 1 },
      // TSO, USO or both.
      t: { id: 2, network: 1, kind: 'tap', vnetHdrLen: 12, offloads: r.pick([7, 0x61, 0x67]) },
      u: { id: 3, network: 1, kind: 'tap', vnetHdrLen: 10 },
      v: { id: 4, network: 2, kind: 'tap', vnetHdrLen: 12 },
      w: { id: 5, network: 2 },
    },
    networks: [
      network(1, {
        mtu: r.pick([1280, 1450, 9000]),
        acceptUnknownPeers: r.once(2),
        neighbourLimit: r.pick([0, 4]),
        heartbeats: r.once(2),
        roams: r.once(2),
      }),
      network(2, { underlay: FRAMES }),
    ],
    peers: [
      peer(1, 1, PEER_A),
      peer(2, 1, PEER_B),
      peer(3, 2, PEER_A, { underlay: FRAMES }),
      peer(4, 2, PEER_B, { underlay: FRAMES }),
    ],
    underlay: { checksum: r.once(2), dscp: r.pick([-1, 0, 46]), deliverOffloadLeak: r.once(2) },
    segment: !r.once(4),
    heartbeats: ring,
  });
  if (r.once(3)) rig.pipeline.capture.key = r.pick([1, 2, 4]);
  for (const [port, station] of [
    ['a', 1],
    ['t', 2],
    ['v', 3],
    ['w', 4],
  ] as const)
    rig.from(port, arpRequest(station));
  clear(rig);
  return rig;
}

function clear(rig: Rig): { delivered: Delivered[]; sent: SentMessage[]; wire: Uint8Array[] } {
  return { delivered: rig.delivered(), sent: rig.kernel.sent.splice(0), wire: rig.wire() };
}

/** What must hold of all that went out, when nothing longer than `longest` came in; `isCut`: all of it came from one superframe. */
function checkOutput(rig: Rig, longest: number, isCut = false): void {
  const { delivered, sent, wire } = clear(rig);
  drainHeartbeats(ring, ({ length, message, network: net, peer: sender }) => {
    expect(length).toBeGreaterThanOrEqual(72);
    expect(length).toBeLessThanOrEqual(longest);
    expect([message.length, net, [0, 1, 2].includes(sender)]).toEqual([72, 1, true]);
  });
  expect(delivered.filter(({ frame }) => isHeartbeat(frame))).toEqual([]);
  if (isCut) {
    checkSegments(delivered.filter((d) => !d.vnet?.gsoType).map((d) => d.frame));
    checkSegments(sent.flatMap((m) => m.datagrams.map((d) => d.slice(8))));
    checkSegments(wire.map((f) => decodeOuter(f).inner));
  }
  for (const { frame, vnet } of delivered) {
    if (vnet === null || vnet.gsoType === 0) {
      expect(frame.length).toBeLessThanOrEqual(longest);
      continue;
    }
    expect(frame.length).toBeLessThanOrEqual(LONGEST_IP);
    const d = decode(frame);
    expect(d?.l4, 'a superframe has a header where it says').toBe(vnet.csumStart);
    expect(d?.protocol).toBe(vnet.gsoType === 5 ? 17 : 6);
    expect(vnet).toMatchObject({ flags: 1, csumOffset: vnet.gsoType === 5 ? 6 : 16 });
    expect(vnet.gsoSize).toBeGreaterThan(0);
  }
  for (const { datagrams, bytes } of sent) {
    expect(bytes.length).toBeLessThanOrEqual(65_507);
    for (const d of datagrams) {
      expect(d.length).toBeLessThanOrEqual(longest + 8);
      expect(toHex(d.slice(0, 8))).toMatch(/^0800000000002900$/);
    }
  }
  for (const frame of wire) {
    const o = decodeOuter(frame);
    expect(o).toMatchObject({
      isIpChecksumRight: true,
      isUdpChecksumRight: true,
      vni: 42,
      flags: 8,
      totalLen: frame.length - 14,
    });
    expect(o.inner.length).toBeLessThanOrEqual(longest);
  }
}

const ICMP = [1, 58];

/** The segments that came of a superframe are whole packets with right checksums. The ICMP answer to one that does not fit is none of them. */
function checkSegments(frames: Uint8Array[]): void {
  for (const frame of frames) {
    const d = decode(frame);
    if (d !== null && ICMP.includes(d.protocol)) continue;
    if (d === null || d.l4 === 0) throw new Error(`no segment: ${toHex(frame)}`);
    expect(d.end).toBe(frame.length);
    if (d.family === 4) expect(isIpChecksumRight(frame, d)).toBe(true);
    expect(isTransportChecksumRight(frame, d)).toBe(true);
  }
}

const fuzz = fuzzWith(fuzzRig, checkOutput);

const VNIS = [41, 41, 41, 42, 0, 0xffffff];
const ADDRESSES = [PEER_A, PEER_A, PEER_B, '198.18.0.99'];

const HEARTBEAT = join('027765667400 020000000009 88b5');
const heartbeat = (r: Random) => join(HEARTBEAT, noise(r.below(r.pick([80, 1400])), 5));
const isHeartbeat = (frame: Uint8Array) =>
  toHex(frame.slice(0, 6)) === '027765667400' && toHex(frame.slice(12, 14)) === '88b5';

function anyDatagram(r: Random): Datagram {
  const from = r.pick(ADDRESSES);
  const tos = r.pick([undefined, 0, 1, 2, 3, 0xff]);
  const isTruncated = r.once(30);
  if (r.once(10)) return { bytes: noise(r.below(60), r.below(10_000)), from, tos };
  if (r.once(10)) {
    const bytes = vxlan(r.pick(VNIS), heartbeat(r));
    return { bytes: r.once(2) ? damage(r, bytes) : bytes, from, tos, isTruncated };
  }
  if (r.once(8)) return { bytes: vxlan(41, superframe(r)).slice(0, 65_507), from, tos };
  const tunnel = (frame: Uint8Array) => vxlan(r.pick(VNIS), frame, r.once(10) ? r.below(256) : 8);
  if (!r.once(4)) {
    const bytes = tunnel(anyFrame(r, r.once(10) ? 30_000 : 1500));
    return { bytes: r.once(4) ? damage(r, bytes) : bytes, from, tos, isTruncated };
  }
  // A super-datagram: segments of one size that may or may not be those of its frames.
  const parts = Array.from({ length: 1 + r.below(40) }, () => tunnel(anyFrame(r, 400)));
  const bytes = join(...parts).slice(0, 65_507);
  return { bytes, from, tos, segment: r.once(3) ? 8 + r.below(300) : parts[0].length, isTruncated };
}

describe('random input', () => {
  fuzz('datagrams', (r, rig) => {
    const datagrams = Array.from({ length: 1 + r.below(30) }, () => anyDatagram(r));
    rig.datagrams(...datagrams);
    return Math.max(...datagrams.map((d) => d.bytes.length));
  });

  fuzz('outer frames of a wire', (r, rig) => {
    const frames = Array.from({ length: 1 + r.below(30) }, () => {
      const fields = {
        src: r.pick(ADDRESSES),
        checksum: r.pick(['zero', 'good', 'bad'] as const),
        tos: r.below(256),
        trailer: r.below(5),
      };
      const payload = vxlan(r.once(6) ? r.pick(VNIS) : 42, anyFrame(r), r.once(10) ? r.below(256) : 8);
      const frame = outer(fields, payload);
      return (r.once(2) ? damage(r, frame) : frame).slice(0, 2000);
    });
    rig.fromWire(...frames);
    return Math.max(...frames.map((f) => f.length));
  });

  fuzz('local frames with what a device says of them', (r, rig) => {
    let longest = 0;
    for (let n = 1 + r.below(10); n > 0; n--) {
      const port = r.pick(['a', 't', 'u', 'v', 'w']);
      const isTap = port === 't' || port === 'u' || port === 'v';
      const frame = isTap && r.once(5) ? superframe(r).slice(0, 65_000) : anyFrame(r).slice(0, 2000);
      const supers = () => [1, 2, 3, 4, 5].reduce((sum, id) => sum + rig.row('port', id).rxSuperframes, 0);
      const before = supers();
      rig.from(port, frame, anyOffload(r, frame), isTap ? 0 : r.below(16));
      longest = Math.max(longest, frame.length);
      checkOutput(rig, longest, supers() > before);
    }
    return longest;
  });
});
