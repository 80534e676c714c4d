// Random and damaged input for a node with networks of every kind at once: tunnels in tunnels over a frame underlay, datagrams for a bridge,
// local frames and packets with whatever a device says of them. Nothing throws, every packet is accounted for, every slot is home, and what is
// sent has lengths and checksums that a second reader finds right.
import { describe, expect } from 'vitest';
import type { RoutePlan } from '../../src/pipeline/plan.js';
import { tunnelPlan } from '../../src/tunnel/tunnel.js';
import { fuzzWith } from '../rig/batches.js';
import { arpRequest, join, noise, onesSum, read16, toHex, u16, u32, vxlan } from '../rig/frames.js';
import {
  FRAMES,
  makeRig,
  network,
  PEER_A,
  PEER_B,
  peer,
  type Rig,
  type RigPort,
  SELF,
  SOCKETS,
} from '../rig/pipeline.js';
import { anyFrame, anyOffload, damage, type Random, superframe } from '../rig/random.js';
import { readTunnelFrame, tunnelFrame } from '../rig/tunnels.js';

const OWN_MAC = '020000000a01';
const VTEP_MAC = '020000000b01';
const option = { class: 0x0103, type: 0x83, data: join('cafef00d') };

const L3 = [3, 5, 6, 7, 8, 9];

/** Station 1 is behind the port of a routed network, 2 behind a second one of network 6, 9 behind peer A, 10 behind peer B. */
const routes: RoutePlan[] = L3.flatMap((net) =>
  [1, 2, 9, 10].flatMap((station) =>
    [`10.0.0.${station}/32`, `fd00::${station}/128`].map((prefix) => ({
      network: net,
      prefix,
      port: station === 1 ? net : station === 2 ? (net === 6 ? 16 : net) : 0,
      peer: station === 9 ? net : station === 10 ? net + 20 : 0,
    })),
  ),
);

function fuzzRig(r: Random): Rig {
  const over = { underlay: FRAMES, mtu: r.pick([1280, 1450]) };
  // A bridge from sockets to frames, where datagrams lie side by side.
  const first = r.once(2) ? SOCKETS : FRAMES;
  const networks = [
    network(1, { ...over, underlay: first, tunnel: tunnelPlan('vxlan', 41) }),
    network(2, { ...over, domain: 1, tunnel: tunnelPlan('geneve', 42, { options: r.once(2) ? [option] : [] }) }),
    network(3, { ...over, mode: 'l3', tunnel: tunnelPlan('geneve', 43, { payload: 'ip', match: [option] }) }),
    network(4, { ...over, tunnel: tunnelPlan('gre', 44, { checksum: true, sequence: true }) }),
    network(5, { ...over, mode: 'l3', tunnel: tunnelPlan('gre', 0, { payload: 'ip' }) }),
    network(6, { ...over, mode: 'l3', tunnel: tunnelPlan('ipip'), acceptUnknownPeers: r.once(2) }),
    network(7, {
      ...over,
      mode: 'l3',
      tunnel: tunnelPlan('vxlan', 47, { udpPort: 8472 }),
      vtepMac: '02:00:00:00:0b:01',
    }),
    network(8, { ...over, mode: 'l3', tunnel: tunnelPlan('fou') }),
    network(9, { ...over, mode: 'l3', tunnel: tunnelPlan('gue') }),
    network(10, { ...over, tunnel: tunnelPlan('vxlan', 50, { gpe: true }), acceptUnknownPeers: r.once(2) }),
    network(11, { ...over, tunnel: tunnelPlan('geneve', 51), mode: 'xconnect' }),
  ];
  const ports: Record<string, RigPort> = Object.fromEntries(
    networks.map(({ id }) => [`p${id}`, { id, network: id, ...(id % 2 ? { vnetHdrLen: 12, offloads: 0x67 } : {}) }]),
  );
  const rig = makeRig({
    ports: {
      ...ports,
      q6: { id: 16, network: 6 },
      t1: { id: 17, network: 1, kind: 'tap', vnetHdrLen: 12, offloads: 0x67 },
      t5: { id: 18, network: 8, kind: 'tun', vnetHdrLen: 12, offloads: 0x67 },
    },
    networks,
    peers: networks.flatMap(({ id, underlays: [underlay], tunnel }) => [
      peer(id, id, PEER_A, { underlay, udpPort: tunnel.udpPort, direct: id === 5, mac: '02:00:00:00:0b:02' }),
      ...(id === 11
        ? []
        : [peer(id + 20, id, PEER_B, { underlay, udpPort: tunnel.udpPort, mac: '02:00:00:00:0b:03' })]),
    ]),
    routes,
    underlay: { checksum: r.once(2), dscp: r.pick([-1, 0, 46]), ttl: r.pick([0, 64]), deliverOffloadLeak: r.once(2) },
    segment: !r.once(4),
  });
  for (const [port, station] of [
    ['p1', 1],
    ['p2', 2],
    ['p4', 3],
    ['p10', 4],
  ] as const)
    rig.from(port, arpRequest(station));
  clear(rig);
  return rig;
}

function clear(rig: Rig) {
  return { delivered: rig.delivered(), sent: rig.kernel.sent.splice(0), wire: rig.wire() };
}

/** Options of a Geneve header fill their space, and what follows is there. */
function checkGeneve(payload: Uint8Array): void {
  expect(payload[0] >> 6, toHex(payload)).toBe(0);
  const end = 8 + (payload[0] & 63) * 4;
  let at = 8;
  while (at < end) at += 4 + (payload[at + 3] & 31) * 4;
  expect(at, toHex(payload)).toBe(end);
  expect(end).toBeLessThan(payload.length);
}

function checkOutput(rig: Rig, longest: number): void {
  const { delivered, sent, wire } = clear(rig);
  for (const { frame, vnet } of delivered)
    expect(frame.length).toBeLessThanOrEqual(vnet?.gsoType ? 65_557 : Math.max(longest, 70) + 14);
  for (const { datagrams } of sent) for (const d of datagrams) expect(toHex(d.slice(0, 8))).toBe('0800000000002900');
  for (const frame of wire) {
    // Direct peers get plain packets: those of senders, right or wrong.
    const type = read16(frame, 12);
    const dst = type === 0x0800 ? Array.from(frame.slice(30, 34)).join('.') : '';
    if (dst !== PEER_A && dst !== PEER_B) {
      expect([0x0800, 0x86dd], toHex(frame)).toContain(type);
      continue;
    }
    const p = readTunnelFrame(frame);
    expect(p, toHex(frame)).toMatchObject({
      src: SELF,
      isLengthRight: true,
      isIpChecksumRight: true,
      isUdpChecksumRight: true,
      fragment: 0x4000,
    });
    if (p.dport === 6081) checkGeneve(p.payload);
    if (p.protocol === 47 && (p.payload[0] & 0x80) !== 0) expect(onesSum(p.payload)).toBe(0xffff);
  }
}

const options = (r: Random): Uint8Array =>
  r.once(3)
    ? new Uint8Array(0)
    : join(
        ...Array.from({ length: 1 + r.below(3) }, () =>
          r.pick(['01038301cafef00d', '010483 00', '010501 02 0011223344556677', noise(4, r.below(99))]),
        ),
      );

/** A tunnel of each kind around a frame, or the packet in it, nearly as some network wants it. */
const TUNNELS: ((r: Random, frame: Uint8Array) => { protocol: number; dport?: number; payload: Uint8Array })[] = [
  (r, f) => ({
    protocol: 17,
    dport: r.pick([4789, 4789, 8472, 4790]),
    payload: vxlan(r.pick([41, 41, 47, 50]), f, r.pick([8, 8, 8, 0x0c, r.below(256)])),
  }),
  (r, f) => ({ protocol: 17, dport: 8472, payload: vxlan(47, join(r.once(4) ? f.slice(0, 6) : VTEP_MAC, f.slice(6))) }),
  (r, f) => ({ protocol: 17, dport: 4790, payload: join('0c0000', r.pick([3, 3, 1, 0]), '00003200', f) }),
  (r, f) => {
    const list = options(r);
    const isPacket = r.once(2);
    const flags = r.once(10) ? r.below(256) : 0;
    const header = join(
      r.once(10) ? r.below(256) : list.length / 4,
      flags,
      isPacket ? u16(read16(f, 12) || 0x0800) : '6558',
    );
    return {
      protocol: 17,
      dport: 6081,
      payload: join(header, u32((isPacket ? 43 : r.pick([42, 42, 51])) * 256), list, isPacket ? f.slice(14) : f),
    };
  },
  (r, f) => {
    const bytes = join('b000', r.once(9) ? '0800' : '6558', u32(0), u32(44), u32(r.below(2 ** 30)), f);
    if (!r.once(8)) bytes.set(u16(0xffff - onesSum(bytes)), 4);
    return { protocol: 47, payload: bytes };
  },
  (r, f) => ({
    protocol: 47,
    payload: join(r.once(9) ? u16(r.below(65536)) : '0000', r.pick(['0800', '86dd']), f.slice(14)),
  }),
  (r, f) => ({ protocol: r.pick([4, 41]), payload: f.slice(14) }),
  (_r, f) => ({ protocol: 17, dport: 8285, payload: f.slice(14) }),
  (r, f) => ({
    protocol: 17,
    dport: 6080,
    payload: join(r.once(9) ? r.below(256) : 0, r.pick([4, 41]), u16(r.once(9) ? 1 : 0), f.slice(14)),
  }),
];

const ADDRESSES = [PEER_A, PEER_A, PEER_B, '198.18.0.99'];

function anyOuter(r: Random): Uint8Array {
  let frame = r.once(12) ? noise(r.below(100), r.below(1e6)) : anyFrame(r, 600);
  if (r.once(10)) return join(OWN_MAC, frame.slice(6)).slice(0, 2000);
  for (let depth = r.once(6) ? 1 + r.below(4) : 1; depth > 0; depth--) {
    const { protocol, dport, payload } = r.pick(TUNNELS)(r, frame);
    const checksum = r.pick(['zero', 'good', 'good', 'bad'] as const);
    const tos = r.once(2) ? r.below(256) : 0;
    const trailer = r.once(4) ? r.below(8) : 0;
    frame = tunnelFrame({ src: r.pick(ADDRESSES), dst: SELF, protocol, dport, checksum, tos, trailer }, payload);
  }
  return (r.once(4) ? damage(r, frame) : frame).slice(0, 2000);
}

const fuzz = fuzzWith(fuzzRig, checkOutput);

describe('random input for networks of every kind', () => {
  fuzz('frames of a wire', (r, rig) => {
    const frames = Array.from({ length: 1 + r.below(60) }, () => anyOuter(r));
    rig.fromWire(...frames);
    return Math.max(...frames.map((f) => f.length));
  });

  fuzz('datagrams for a bridge', (r, rig) => {
    const size = 60 + r.below(600);
    const one = () => vxlan(41, anyFrame(r, 500), r.once(20) ? 0 : 8);
    const parts = Array.from({ length: 1 + r.below(30) }, one);
    const isSuper = r.once(2);
    const bytes = join(...parts).slice(0, 65_000);
    if (isSuper) rig.datagrams({ bytes, from: r.pick(ADDRESSES), segment: r.once(2) ? size : parts[0].length });
    else rig.datagrams(...parts.map((p) => ({ bytes: p, from: r.pick(ADDRESSES), tos: r.below(4) })));
    if (r.once(4)) rig.fromWire(...Array.from({ length: 20 }, () => anyOuter(r)));
    return Math.max(2000, ...(isSuper ? [size] : []), ...parts.map((p) => p.length));
  });

  fuzz('local frames and packets', (r, rig) => {
    let longest = 0;
    for (let n = 1 + r.below(10); n > 0; n--) {
      const port = r.pick(['p1', 'p2', 'p3', 'p4', 'p5', 'p6', 'p7', 'p8', 'p9', 'p10', 'p11', 'q6', 't1', 't5']);
      const isTap = port === 't1' || port === 't5';
      const whole = isTap && r.once(4) ? superframe(r).slice(0, 65_000) : anyFrame(r).slice(0, 1990);
      const isPacket = !['p1', 'p2', 'p4', 'p10', 'p11', 't1'].includes(port) && !r.once(10);
      const offload = anyOffload(r, whole);
      if (isPacket && offload?.csumStart !== undefined) offload.csumStart = Math.max(0, offload.csumStart - 14);
      const frame = isPacket ? whole.slice(14) : whole;
      rig.from(port, frame, offload, isTap ? 0 : r.below(16));
      longest = Math.max(longest, frame.length);
    }
    // A wire in between: columns of lanes keep what it left.
    if (r.once(2)) rig.fromWire(...Array.from({ length: 10 }, () => anyOuter(r)));
    return Math.max(2000, longest);
  });
});
