import { describe, expect, it } from 'vitest';
import { tunnelPlan } from '../../../src/tunnel/tunnel.js';
import { arpRequest, ethernet, join, noise, onesSum, tcp, u16, u32, udp, vxlan } from '../../rig/frames.js';
import { FRAMES, makeRig, network } from '../../rig/pipeline.js';
import { type OuterPacket, tunnelFrame } from '../../rig/tunnels.js';

/** A frame underlay that takes every tunnel off; what is left goes to port a. */
function popRig(popDepth = 4) {
  return makeRig({
    ports: { a: { id: 1, network: 1 } },
    networks: [network(1, { mode: 'xconnect', tunnel: tunnelPlan('none'), underlay: FRAMES, mtu: 65_535 })],
    popDepth,
  });
}

const packet = (frame: Uint8Array) => frame.slice(14);
const hosts = { src: '192.0.2.1', dst: '203.0.113.9' };
const six = { src: '2001:db8::1', dst: '2001:db8::9' };
const inUdp = (dport: number, payload: Uint8Array, f: Partial<OuterPacket> = {}) =>
  tunnelFrame({ ...hosts, protocol: 17, dport, ...f }, payload);
const inIp = (protocol: number, payload: Uint8Array, f: Partial<OuterPacket> = {}) =>
  tunnelFrame({ ...hosts, protocol, ...f }, payload);
const inGeneve = (type: number, inner: Uint8Array) =>
  inUdp(6081, join('0140', u16(type), u32(9 * 256), '0102 80 00', inner));
const inVxlan = (inner: Uint8Array, vni = 7) => inUdp(4789, vxlan(vni, inner));
/** With a checksum and a key of its own. */
function inGre(type: number, inner: Uint8Array): Uint8Array {
  const bytes = join('a000', u16(type), u32(0), u32(77), inner);
  bytes.set(u16(0xffff - onesSum(bytes)), 4);
  return inIp(47, bytes);
}
/** The link header of the outer packet, in front of what was in the tunnel. */
const linked = (inner: Uint8Array) => join('020000000a01 020000000a02', inner[0] >> 4 === 4 ? '0800' : '86dd', inner);

const frame = tcp({ src: 5, dst: 6, payload: 100, tags: [[0x8100, 7]] });
const v4 = udp({ src: 5, dst: 6, payload: 20 });
const v6 = udp({ src: 5, dst: 6, payload: 21, family: 6 });

describe('tunnels that nobody configured', () => {
  const cases: [string, Uint8Array, Uint8Array][] = [
    ['VXLAN', inVxlan(frame), frame],
    ['VXLAN of any VNI, on the port of Linux', inUdp(8472, vxlan(0xffffff, frame)), frame],
    ['VXLAN over IPv6', tunnelFrame({ ...six, protocol: 17, dport: 4789, checksum: 'good' }, vxlan(7, frame)), frame],
    ['VXLAN-GPE of a packet', inUdp(4790, join('0c000002 00000700', packet(v6))), linked(packet(v6))],
    ['Geneve with a critical option', inGeneve(0x6558, frame), frame],
    ['Geneve of a packet', inGeneve(0x0800, packet(v4)), linked(packet(v4))],
    ['GRE', inGre(0x6558, frame), frame],
    ['GRE of a packet', inGre(0x86dd, packet(v6)), linked(packet(v6))],
    ['GRE without fields', inIp(47, join('0000 0800', packet(v4))), linked(packet(v4))],
    ['IPIP', inIp(4, packet(v4)), linked(packet(v4))],
    ['6in4', inIp(41, packet(v6)), linked(packet(v6))],
    ['4in6', inIp(4, packet(v4), six), linked(packet(v4))],
    ['IP in UDP', inUdp(8285, packet(v4)), linked(packet(v4))],
    ['GUE', inUdp(6080, join('00290000', packet(v6))), linked(packet(v6))],
  ];

  it.each(cases)('are taken off: %s', (_name, whole, inside) => {
    const rig = popRig();
    rig.fromWire(whole);
    expect(rig.took('a')).toEqual([inside]);
    expect(rig.drops()).toEqual({});
  });

  it('are taken off inside of each other', () => {
    const rig = popRig();
    const gre = inGre(0x0800, packet(v4));
    rig.fromWire(
      inVxlan(inGeneve(0x6558, frame)),
      // VXLAN in GRE in IPIP: the packets lie in each other without Ethernet between.
      inIp(4, packet(inGre(0x0800, packet(inVxlan(frame))))),
      inVxlan(inIp(4, packet(gre))),
      inVxlan(inVxlan(inVxlan(inVxlan(frame, 4), 3), 2), 1),
    );
    expect(rig.took('a')).toEqual([frame, frame, linked(packet(v4)), frame]);
  });

  it('are dropped where there are too many', () => {
    for (let depth = 1; depth <= 5; depth++) {
      const rig = popRig(3);
      rig.fromWire(
        arpRequest(1),
        Array.from({ length: depth }).reduce<Uint8Array>((inner) => inVxlan(inner), frame),
        v4,
      );
      const rest = rig.took('a');
      expect(rest).toEqual(depth <= 3 ? [arpRequest(1), frame, v4] : [arpRequest(1), v4]);
      expect(rig.drops()).toEqual(depth <= 3 ? {} : { 'nesting-limit': 1 });
    }
  });

  it('leave congestion marks as they are: nobody forwards here', () => {
    const rig = popRig();
    const inner = [0, 1, 2, 3].map((tos) => udp({ src: 5, dst: 6, payload: 3, tos }));
    const fragment = udp({ src: 5, dst: 6, payload: 3, fragment: 0x2000 });
    rig.fromWire(...[...inner, fragment, arpRequest(3)].map((f) => inUdp(4789, vxlan(7, f), { tos: 3 })));
    expect(rig.took('a')).toEqual([...inner, fragment, arpRequest(3)]);
    expect(rig.drops()).toEqual({});
  });
});

describe('frames without a tunnel', () => {
  it('pass as they are', () => {
    const plain = [
      arpRequest(1),
      v4,
      v6,
      frame,
      ethernet({}, 0x88cc, noise(46)),
      udp({ src: 1, dst: 2, dport: 53, payload: 30, checksum: 'bad' }),
      udp({ src: 1, dst: 2, dport: 4789, payload: 40, fragment: 0x2000 }),
      udp({ src: 1, dst: 2, payload: 9 }).slice(0, 30),
      ethernet({}, 0x0800, noise(60)),
    ];
    const rig = popRig();
    rig.fromWire(...plain);
    expect(rig.took('a')).toEqual(plain);
    rig.fromWire(...plain.map((f) => inVxlan(f)));
    expect(rig.took('a')).toEqual(plain);
    expect(rig.drops()).toEqual({});
  });

  it('or with a broken one, are dropped under its reason, or pass where it cannot be told', () => {
    const rig = popRig();
    rig.fromWire(
      inUdp(4789, vxlan(7, frame, 0)),
      inUdp(4789, noise(5)),
      inGeneve(0x0806, noise(20)),
      inUdp(6081, join('0080 6558 00000000', frame)),
      inIp(4, noise(30).fill(0)),
      noise(13),
    );
    expect(rig.drops()).toEqual({
      'tunnel-flags': 1,
      'malformed-tunnel': 1,
      'tunnel-protocol': 2,
      'tunnel-control': 1,
      'malformed-frame': 1,
    });
    expect(rig.delivered()).toEqual([]);
  });

  it('and tunnels cut off at every length are counted', () => {
    for (const whole of [inVxlan(inGre(0x0800, packet(v4))), inIp(41, packet(v6)), inGeneve(0x6558, frame)]) {
      const rig = popRig();
      for (let n = 0; n < whole.length; n++) rig.fromWire(whole.slice(0, n));
      // What is shorter than its outer headers say is no tunnel that can be told: it passes, from 14 bytes on.
      expect(rig.took('a')).toEqual(Array.from({ length: whole.length - 14 }, (_, k) => whole.slice(0, k + 14)));
      expect(rig.drops()).toEqual({ 'malformed-frame': 14 });
    }
  });
});
