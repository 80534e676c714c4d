import { describe, expect, it } from 'vitest';
import { setStatic } from '../../../src/forward/macTable.js';
import { TO_PEER, TO_PORT } from '../../../src/packet/burst.js';
import type { NetworkPlan } from '../../../src/pipeline/plan.js';
import { tunnelPlan } from '../../../src/tunnel/tunnel.js';
import { arpRequest, join, macWords, stationMac, tcp, u16, u32, udp, vxlan } from '../../rig/frames.js';
import {
  FRAMES,
  makeRig,
  network,
  PEER_A,
  PEER_B,
  peer,
  type Rig,
  type RigOptions,
  SELF,
  SOCKETS,
} from '../../rig/pipeline.js';
import { readTunnelFrame, tunnelFrame } from '../../rig/tunnels.js';

/** Carrier of the second network where it is over sockets, too. */
const GENEVE = 3;
const PEER_C = '198.18.0.4';
const PEER_D = '198.18.0.5';
const OWN = join('0103 03 01 cafef00d');
const ownOption = { class: 0x0103, type: 3, data: join('cafef00d') };

type Over = 'frame' | 'socket';

/**
 * Network 1 is VXLAN 41 with peers A and B, network 2 Geneve 42 with C and D; port a is in the first, b in the second. Stations 1 and 2 are
 * behind the ports, 9 behind A, 8 behind B, 19 behind C, 18 behind D.
 */
function bridgeRig(over: Over, second: Partial<NetworkPlan> = {}, rest: Partial<RigOptions> = {}): Rig {
  const [u1, u2] = over === 'frame' ? [FRAMES, FRAMES] : [SOCKETS, GENEVE];
  const rig = makeRig({
    ports: { a: { id: 1, network: 1 }, b: { id: 2, network: 2 } },
    networks: [
      network(1, { tunnel: tunnelPlan('vxlan', 41), underlay: u1 }),
      network(2, { tunnel: tunnelPlan('geneve', 42), underlay: u2, domain: 1, ...second }),
    ],
    peers: [
      peer(1, 1, PEER_A, { underlay: u1 }),
      peer(2, 1, PEER_B, { underlay: u1 }),
      peer(3, 2, PEER_C, { underlay: u2, udpPort: 6081 }),
      peer(4, 2, PEER_D, { underlay: u2, udpPort: 6081 }),
    ],
    carriers: [{ id: GENEVE, tunnel: 'geneve', udpPort: 6081 }],
    neighbours: Object.fromEntries([PEER_A, PEER_B, PEER_C, PEER_D].map((a, k) => [a, `02:00:00:00:0a:0${k + 2}`])),
    ...rest,
  });
  for (const [station, value] of [
    [1, TO_PORT | 1],
    [2, TO_PORT | 2],
    [9, TO_PEER | 1],
    [8, TO_PEER | 2],
    [19, TO_PEER | 3],
    [18, TO_PEER | 4],
  ]) {
    const { lo, hi } = macWords(stationMac(station));
    setStatic(rig.pipeline.macTable, lo, hi, 1, value);
  }
  return rig;
}

/** RFC 8926 section 3.4, VNI 42. */
const geneve = (frame: Uint8Array, options: Uint8Array = new Uint8Array(0), flags = 0) =>
  join(options.length / 4, flags, u16(0x6558), u32(42 * 256), options, frame);

function arrives(rig: Rig, over: Over, from: string, kind: 'vxlan' | 'geneve', ...payloads: Uint8Array[]): void {
  const dport = kind === 'vxlan' ? 4789 : 6081;
  if (over === 'frame')
    rig.fromWire(...payloads.map((p) => tunnelFrame({ src: from, dst: SELF, protocol: 17, dport }, p)));
  else rig.into(kind === 'vxlan' ? SOCKETS : GENEVE, 0, ...payloads.map((bytes) => ({ bytes, from })));
}

function sent(rig: Rig): { to: string; payload: Uint8Array }[] {
  const frames = rig.wire().map((frame) => {
    const { dst, payload, isLengthRight, isUdpChecksumRight, isIpChecksumRight } = readTunnelFrame(frame);
    expect([isLengthRight, isUdpChecksumRight, isIpChecksumRight]).toEqual([true, true, true]);
    return { to: dst, payload };
  });
  const messages = rig.kernel.sent.splice(0);
  return [...frames, ...messages.flatMap((m) => m.datagrams.map((payload) => ({ to: m.address, payload })))];
}

const between = (src: number, dst: number, payload = 20) => udp({ src, dst, payload });

describe.each<[Over]>([['frame'], ['socket']])('a bridge of two networks over a %s underlay', (over) => {
  it('relays from VXLAN to Geneve and back', () => {
    const rig = bridgeRig(over);
    const there = [between(9, 19), between(9, 18, 1), between(8, 19, 1400)];
    arrives(rig, over, PEER_A, 'vxlan', vxlan(41, there[0]), vxlan(41, there[1]));
    arrives(rig, over, PEER_B, 'vxlan', vxlan(41, there[2]));
    expect(sent(rig)).toEqual([
      { to: PEER_C, payload: geneve(there[0]) },
      { to: PEER_D, payload: geneve(there[1]) },
      { to: PEER_C, payload: geneve(there[2]) },
    ]);
    const back = between(19, 9);
    arrives(rig, over, PEER_C, 'geneve', geneve(back));
    expect(sent(rig)).toEqual([{ to: PEER_A, payload: vxlan(41, back) }]);
    expect(rig.drops()).toEqual({});
    expect(rig.row('peer', 3)).toMatchObject({ txPackets: 2, rxPackets: 1 });
  });

  it('keeps split horizon within each network', () => {
    const rig = bridgeRig(over);
    arrives(rig, over, PEER_A, 'vxlan', vxlan(41, between(9, 8)), vxlan(41, between(9, 77)));
    arrives(rig, over, PEER_C, 'geneve', geneve(between(19, 18)));
    expect(rig.drops()).toEqual({ 'split-horizon': 2 });
    rig.delivered();
    sent(rig);
  });

  it('floods to ports of both, and to the peers of the other network alone', () => {
    const rig = bridgeRig(over);
    const call = arpRequest(9);
    arrives(rig, over, PEER_A, 'vxlan', vxlan(41, call));
    expect(sent(rig)).toEqual([PEER_C, PEER_D].map((to) => ({ to, payload: geneve(call) })));
    expect([rig.took('a'), rig.took('b')]).toEqual([[call], [call]]);
    rig.from('b', arpRequest(2));
    expect(
      sent(rig)
        .map((s) => s.to)
        .sort(),
    ).toEqual([PEER_A, PEER_B, PEER_C, PEER_D]);
    expect(rig.took('a')).toEqual([arpRequest(2)]);
    // Flood lanes of several peers in one burst go each its own way.
    const calls = [arpRequest(9), arpRequest(8), arpRequest(19)];
    if (over === 'frame') {
      const outer = { dst: SELF, protocol: 17 };
      rig.fromWire(
        tunnelFrame({ ...outer, src: PEER_A, dport: 4789 }, vxlan(41, calls[0])),
        tunnelFrame({ ...outer, src: PEER_C, dport: 6081 }, geneve(calls[2])),
        tunnelFrame({ ...outer, src: PEER_B, dport: 4789 }, vxlan(41, calls[1])),
      );
      const relayed = sent(rig).map((s) => `${s.to} ${s.payload.length}`);
      expect(relayed.sort()).toEqual(
        [PEER_A, PEER_B, PEER_C, PEER_C, PEER_D, PEER_D].map((to) => `${to} ${calls[0].length + 8}`),
      );
      rig.delivered();
    }
  });

  it('shares MACs: a station is known to both', () => {
    const rig = bridgeRig(over);
    arrives(rig, over, PEER_C, 'geneve', geneve(arpRequest(55)));
    sent(rig);
    rig.delivered();
    rig.from('a', between(1, 55));
    expect(sent(rig)).toEqual([{ to: PEER_C, payload: geneve(between(1, 55)) }]);
    arrives(rig, over, PEER_A, 'vxlan', vxlan(41, between(9, 55)));
    expect(sent(rig).map((s) => s.to)).toEqual([PEER_C]);
  });

  it('holds the broadcast limit', () => {
    const rig = bridgeRig(over);
    rig.plan.networks[0].broadcastPps = 3;
    rig.apply();
    arrives(rig, over, PEER_A, 'vxlan', ...Array.from({ length: 10 }, () => vxlan(41, arpRequest(9))));
    expect(rig.drops()).toEqual({ 'broadcast-limit': 7 });
    expect(sent(rig)).toHaveLength(6);
    rig.delivered();
  });

  it('judges by the MTU of the network that a packet leaves through', () => {
    const rig = bridgeRig(over, { mtu: 1000 });
    const frames = [between(9, 19, 972), between(9, 19, 973), between(9, 77, 973)];
    arrives(rig, over, PEER_A, 'vxlan', ...frames.map((f) => vxlan(41, f)));
    expect(sent(rig)).toEqual([{ to: PEER_C, payload: geneve(frames[0]) }]);
    // The flooded one for both peers; its two ports got it.
    expect(rig.drops()).toEqual({ 'too-big': 3 });
    expect(rig.delivered()).toHaveLength(2);
  });

  it('puts a longer header in front of datagrams that lie side by side, and spoils none', () => {
    const tunnel = tunnelPlan('geneve', 42, { options: [ownOption] });
    const rig = bridgeRig(over, { tunnel });
    const many = Array.from({ length: 20 }, (_, k) => tcp({ src: 9, dst: k % 5 ? 19 : 77, seq: k, payload: 200 }));
    const payloads = many.map((f) => vxlan(41, f));
    if (over === 'frame') arrives(rig, over, PEER_A, 'vxlan', ...payloads);
    else rig.into(SOCKETS, 0, { bytes: join(...payloads), from: PEER_A, segment: payloads[0].length });
    const toC = sent(rig).filter((s) => s.to === PEER_C);
    const order = [...many.filter((_, k) => k % 5), ...many.filter((_, k) => k % 5 === 0)];
    expect(toC.map((s) => s.payload)).toEqual(order.map((f) => geneve(f, OWN)));
    expect(rig.took('a')).toEqual(many.filter((_, k) => k % 5 === 0));
    rig.delivered();
  });
});

describe('options of a packet that is relayed between two Geneve networks', () => {
  const inOptions = join('0104 05 02 0011223344556677', '0105 81 00');
  const third = 43;

  /** Network 1 is Geneve 43 here. */
  function geneveRig(
    over: Over,
    relayOptions: 'pass' | 'strip',
    options = [ownOption],
    rest: Partial<NetworkPlan> = {},
  ): Rig {
    const rig = bridgeRig(over, { tunnel: tunnelPlan('geneve', 42, { relayOptions, options }), ...rest });
    const [first] = rig.plan.networks;
    const match = [{ class: 0x0105, type: 0x81, data: null }];
    first.tunnel = tunnelPlan('geneve', third, { match });
    if (over === 'socket') {
      first.underlays = [GENEVE];
      for (const p of rig.plan.peers) p.underlay = GENEVE;
    }
    for (const p of rig.plan.peers) p.udpPort = 6081;
    rig.apply();
    return rig;
  }
  const incoming = (frame: Uint8Array, options = inOptions) =>
    join(options.length / 4, 0x40, u16(0x6558), u32(third * 256), options, frame);

  it.each<[Over]>([['frame'], ['socket']])('pass, over a %s underlay, behind those of the network', (over) => {
    const rig = geneveRig(over, 'pass');
    const frames = [between(9, 19), between(9, 18, 3)];
    arrives(rig, over, PEER_A, 'geneve', ...frames.map((f) => incoming(f)));
    // The header says that there is a critical one.
    const wanted = frames.map((f) => geneve(f, join(OWN, inOptions), 0x40));
    expect(sent(rig)).toEqual([PEER_C, PEER_D].map((to, k) => ({ to, payload: wanted[k] })));
    arrives(rig, over, PEER_A, 'geneve', incoming(arpRequest(9)));
    const flooded = geneve(arpRequest(9), join(OWN, inOptions), 0x40);
    expect(sent(rig)).toEqual([PEER_C, PEER_D].map((to) => ({ to, payload: flooded })));
    // Frames of ports have none.
    rig.from('a', between(1, 19));
    expect(sent(rig)).toEqual([{ to: PEER_C, payload: geneve(between(1, 19), OWN) }]);
    rig.delivered();
  });

  it.each<[Over]>([['frame'], ['socket']])('are left out when told so, over a %s underlay', (over) => {
    const rig = geneveRig(over, 'strip');
    arrives(rig, over, PEER_A, 'geneve', incoming(between(9, 19)), incoming(arpRequest(9)));
    const toC = sent(rig).filter((s) => s.to === PEER_C);
    expect(toC.map((s) => s.payload)).toEqual([between(9, 19), arpRequest(9)].map((f) => geneve(f, OWN)));
    rig.delivered();
  });

  it.each<[Over]>([['frame'], ['socket']])('count as bytes of the packet, over a %s underlay', (over) => {
    const rig = geneveRig(over, 'pass', [], { mtu: 1000 });
    const fits = 1000 - 28 - inOptions.length;
    arrives(rig, over, PEER_A, 'geneve', incoming(between(9, 19, fits)), incoming(between(9, 19, fits + 1)));
    expect(sent(rig).map((s) => s.payload)).toEqual([geneve(between(9, 19, fits), inOptions, 0x40)]);
    expect(rig.drops()).toEqual({ 'too-big': 1 });
  });

  it.each<[Over]>([['frame'], ['socket']])(
    'are too many for a header with those of the network: too-big, over a %s underlay',
    (over) => {
      const own = { class: 0x0103, type: 3, data: new Uint8Array(124) };
      const rig = geneveRig(over, 'pass', [own]);
      // 32 words of its own leave 31.
      const option = (words: number) => join('0106 01', words, new Uint8Array(words * 4).fill(7));
      const full = option(30);
      const over31 = join(option(30), option(0));
      arrives(rig, over, PEER_A, 'geneve', incoming(between(9, 19), join(full, '')), incoming(between(9, 19), over31));
      rig.delivered();
      // The first network wants an option of its own: match it.
      expect(rig.drops()).toEqual({ 'option-mismatch': 2 });
      rig.plan.networks[0].tunnel = tunnelPlan('geneve', third);
      rig.apply();
      rig.pipeline.counters.fill(0);
      arrives(rig, over, PEER_A, 'geneve', incoming(between(9, 19), full), incoming(between(9, 19), over31));
      const ownBytes = join('0103 03 1f', new Uint8Array(124));
      expect(sent(rig).map((s) => s.payload)).toEqual([geneve(between(9, 19), join(ownBytes, full))]);
      expect(rig.drops()).toEqual({ 'too-big': 1 });
    },
  );
});

describe('a bridge of two routed networks', () => {
  it('routes between them, a hop less, and never back', () => {
    const rig = makeRig({
      ports: { a: { id: 1, network: 1 } },
      networks: [
        network(1, { tunnel: tunnelPlan('ipip'), mode: 'l3', underlay: FRAMES }),
        network(2, { tunnel: tunnelPlan('gue'), mode: 'l3', underlay: FRAMES, domain: 1 }),
      ],
      peers: [peer(1, 1, PEER_A, { underlay: FRAMES }), peer(2, 2, PEER_B, { underlay: FRAMES, udpPort: 6080 })],
      routes: [
        { network: 1, prefix: '10.0.0.9/32', port: 0, peer: 1 },
        { network: 1, prefix: '10.0.0.8/32', port: 0, peer: 2 },
      ],
    });
    const ipip = (f: Parameters<typeof udp>[0]) =>
      tunnelFrame({ src: PEER_A, dst: SELF, protocol: 4 }, udp({ src: 9, dst: 8, payload: 4, ...f }).slice(14));
    rig.fromWire(ipip({ ttl: 9 }));
    const wanted = udp({ src: 9, dst: 8, payload: 4, ttl: 8 }).slice(14);
    expect(sent(rig)).toEqual([{ to: PEER_B, payload: join('00040000', wanted) }]);
    rig.fromWire(ipip({ ttl: 1 }), ipip({ dst: 9 }));
    expect(rig.drops()).toEqual({ 'ttl-exceeded': 1, 'same-port': 1 });
  });
});
