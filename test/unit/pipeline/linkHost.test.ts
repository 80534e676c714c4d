import { describe, expect, it } from 'vitest';
import { decodeOuter } from '../../rig/decode.js';
import { noise, outer, toHex, udp, vxlan } from '../../rig/frames.js';
import { FRAMES, makeRig, network, PEER_A, passSeconds, peer, type Rig, type RigOptions } from '../../rig/pipeline.js';

// Frames as scapy makes them. We are 02:00:00:00:0a:01, 198.18.0.1 and 2001:db8::1; the peer is 02:00:00:00:0a:02, 198.18.0.2 and 2001:db8::2.
const V4 = {
  whoHasUs: 'ffffffffffff020000000a0208060001080006040001020000000a02c6120002000000000000c6120001',
  weHave: '020000000a02020000000a0108060001080006040002020000000a01c6120001020000000a02c6120002',
  weAskAll: 'ffffffffffff020000000a0108060001080006040001020000000a01c6120001000000000000c6120002',
  weAskIt: '020000000a02020000000a0108060001080006040001020000000a01c6120001000000000000c6120002',
  itHas: '020000000a01020000000a0208060001080006040002020000000a02c6120002020000000a01c6120001',
  weAnnounce: 'ffffffffffff020000000a0108060001080006040001020000000a01c6120001000000000000c6120001',
  itMoved: 'ffffffffffff020000000a0b08060001080006040001020000000a0bc6120002000000000000c6120002',
  ping:
    '020000000a01020000000a0208004500002700070000090125a8c6120002c61200010800f5ec12340005776566742070696e' + '672121',
  pong:
    '020000000a02020000000a01080045000027000040004001aeaec6120001c61200020000fdec12340005776566742070696e' + '672121',
};
const V6 = {
  whoHasUs:
    '3333ff000001020000000a0286dd6000000000203aff20010db8000000000000000000000002ff0200000000000000000001' +
    'ff000001870012270000000020010db80000000000000000000000010101020000000a02',
  weHave:
    '020000000a02020000000a0186dd6000000000203aff20010db800000000000000000000000120010db80000000000000000' +
    '00000002880080736000000020010db80000000000000000000000010201020000000a01',
  isItTaken:
    '3333ff000001020000000a0286dd6000000000183aff00000000000000000000000000000000ff0200000000000000000001' +
    'ff00000187004ced0000000020010db8000000000000000000000001',
  weAnnounce:
    '333300000001020000000a0186dd6000000000203aff20010db8000000000000000000000001ff0200000000000000000000' +
    '000000018800ef2a2000000020010db80000000000000000000000010201020000000a01',
  weAskAll:
    '3333ff000002020000000a0186dd6000000000203aff20010db8000000000000000000000001ff0200000000000000000001' +
    'ff000002870012270000000020010db80000000000000000000000020101020000000a01',
  weAskIt:
    '020000000a02020000000a0186dd6000000000203aff20010db800000000000000000000000120010db80000000000000000' +
    '000000028700e2720000000020010db80000000000000000000000020101020000000a01',
  itHas:
    '020000000a01020000000a0286dd6000000000203aff20010db800000000000000000000000220010db80000000000000000' +
    '00000001880080716000000020010db80000000000000000000000020201020000000a02',
  itMoved:
    '333300000001020000000a0b86dd6000000000203aff20010db8000000000000000000000002ff0200000000000000000000' +
    '000000018800ef1e2000000020010db80000000000000000000000020201020000000a0b',
  anotherSaysSo:
    '333300000001020000000a0b86dd6000000000203aff20010db8000000000000000000000002ff0200000000000000000000' +
    '0000000188000f1f0000000020010db80000000000000000000000020201020000000a0b',
  ping:
    '020000000a01020000000a0286dd6000000000133a4020010db800000000000000000000000220010db80000000000000000' +
    '000000018000222a12340005776566742070696e672121',
  pong:
    '020000000a02020000000a0186dd6000000000133a4020010db800000000000000000000000120010db80000000000000000' +
    '000000028100212a12340005776566742070696e672121',
};

const bytes = (hex: string) => Uint8Array.from(Buffer.from(hex, 'hex'));
const PEER_V6 = '2001:db8::2';

function hostRig(family: 4 | 6 = 4, rest: Partial<RigOptions> = {}): Rig {
  const address = family === 4 ? PEER_A : PEER_V6;
  return makeRig({
    ports: { a: { id: 1, network: 1 } },
    networks: [network(1, { underlay: FRAMES })],
    peers: [peer(1, 1, address, { underlay: FRAMES, nextHop: 7 })],
    underlay: { address: family === 4 ? '198.18.0.1' : '2001:db8::1' },
    neighbours: {},
    nextHops: [{ id: 7, underlay: FRAMES, address }],
    ...rest,
  });
}

/** Seconds pass one by one; what was sent in each. */
function pass(rig: Rig, seconds: number): string[][] {
  return Array.from({ length: seconds }, () => {
    passSeconds(rig, 1);
    rig.pipeline.tick();
    return rig.wire().map(toHex);
  });
}

const send = (rig: Rig) => rig.from('a', udp({ src: 1, dst: 9, payload: 20 }));
const sentTo = (rig: Rig) => {
  send(rig);
  return rig.wire().map((frame) => toHex(frame.slice(0, 6)));
};

describe.each([
  ['IPv4', 4 as const, V4],
  ['IPv6', 6 as const, V6],
])('a host on the link of a frame underlay, %s', (_name, family, f) => {
  it('announces itself and asks for its next hop at once, then every second, then more and more seldom', () => {
    const rig = hostRig(family);
    expect(rig.wire().map(toHex)).toEqual([f.weAnnounce, f.weAskAll]);
    const asked = pass(rig, 40).flatMap((sent, k) => (sent.length > 0 ? [k + 1] : []));
    expect(asked).toEqual([1, 2, 3, 5, 9, 17, 33]);
    expect(rig.row('underlay', FRAMES)).toMatchObject({ made: 9, txPackets: 9 });
  });

  it('drops what goes to a next hop that is not known, and asks for it every second while there is traffic', () => {
    const rig = hostRig(family);
    rig.wire();
    for (let k = 0; k < 10; k++) {
      expect(sentTo(rig)).toEqual([]);
      expect(pass(rig, 1)).toEqual([[f.weAskAll]]);
    }
    expect(rig.row('peer', 1).drops).toEqual({ 'no-neighbour': 10 });
  });

  it('takes the answer, and sends at once to the MAC in it', () => {
    const rig = hostRig(family);
    rig.wire();
    rig.fromWire(bytes(f.itHas));
    expect(rig.row('underlay', FRAMES)).toMatchObject({ rxPackets: 1, consumed: 1 });
    expect(sentTo(rig)).toEqual(['020000000a02']);
    expect(rig.drops()).toEqual({});
  });

  it('asks it directly before the answer is 30 seconds old, and all others when it is silent', () => {
    const rig = hostRig(family);
    rig.wire();
    rig.fromWire(bytes(f.itHas));
    expect(pass(rig, 24).flat()).toEqual([]);
    expect(pass(rig, 1)).toEqual([[f.weAskIt]]);
    rig.fromWire(bytes(f.itHas));
    expect(pass(rig, 24).flat()).toEqual([]);
    // From 25 on it is silent: until it is stale, then three times, then everybody is asked, and its MAC is used no more.
    expect(pass(rig, 8)).toEqual(Array.from({ length: 8 }, () => [f.weAskIt]));
    expect(sentTo(rig)).toEqual(['020000000a02']);
    expect(pass(rig, 1)).toEqual([[f.weAskAll]]);
    expect(sentTo(rig)).toEqual([]);
    rig.fromWire(bytes(f.itHas));
    expect(sentTo(rig)).toEqual(['020000000a02']);
  });

  it('answers who asks for its address, and knows who asked', () => {
    const rig = hostRig(family);
    rig.wire();
    rig.fromWire(bytes(f.whoHasUs));
    expect(rig.wire().map(toHex)).toEqual([f.weHave]);
    expect(sentTo(rig)).toEqual(['020000000a02']);
    // Nobody confirmed it yet.
    expect(pass(rig, 1)).toEqual([[f.weAskIt]]);
  });

  it('follows a next hop that says it has another MAC', () => {
    const rig = hostRig(family);
    rig.fromWire(bytes(f.itHas));
    expect(rig.wire()).toHaveLength(2);
    rig.fromWire(bytes(f.itMoved));
    expect(rig.wire()).toEqual([]);
    expect(sentTo(rig)).toEqual(['020000000a0b']);
  });

  it('answers a ping', () => {
    const rig = hostRig(family);
    rig.wire();
    rig.fromWire(bytes(f.ping));
    expect(rig.wire().map(toHex)).toEqual([f.pong]);
    expect(rig.row('underlay', FRAMES)).toMatchObject({ consumed: 1, made: 3 });
  });

  it('answers nothing that is damaged or cut off, at any length', () => {
    const rig = hostRig(family);
    rig.wire();
    for (const whole of [f.whoHasUs, f.itHas, f.itMoved, f.ping].map(bytes))
      for (let length = 0; length < whole.length; length++) rig.fromWire(whole.slice(0, length));
    for (const hex of family === 4 ? [f.ping] : [f.whoHasUs, f.itHas, f.ping]) {
      const damaged = bytes(hex);
      damaged[damaged.length - 1] ^= 1;
      rig.fromWire(damaged);
    }
    expect(rig.wire()).toEqual([]);
    expect(sentTo(rig)).toEqual([]);
    expect(rig.row('underlay', FRAMES).consumed).toBe(0);
  });

  it('leaves alone what is for another station of the link, and what comes back from itself', () => {
    const rig = hostRig(family);
    rig.wire();
    for (const hex of [f.itHas, f.ping]) {
      const frame = bytes(hex);
      frame[5] = 0x77;
      rig.fromWire(frame);
    }
    rig.fromWire(bytes(f.weAnnounce), bytes(f.weAskAll));
    expect(rig.wire()).toEqual([]);
    expect(rig.drops()).toEqual({ 'not-for-us': 4 });
  });

  it('lets a configured MAC win', () => {
    const address = family === 4 ? PEER_A : PEER_V6;
    const rig = hostRig(family, {
      peers: [peer(1, 1, address, { underlay: FRAMES })],
      neighbours: { [address]: '02:00:00:00:0a:0f' },
      nextHops: [],
    });
    expect(rig.wire().map(toHex)).toEqual([f.weAnnounce]);
    rig.fromWire(bytes(f.itHas), bytes(f.itMoved));
    expect(sentTo(rig)).toEqual(['020000000a0f']);
  });

  it('does not answer more than a thousand a second', () => {
    const rig = hostRig(family);
    rig.wire();
    for (let k = 0; k < 1100; k++) rig.fromWire(bytes(f.whoHasUs));
    expect(rig.wire()).toHaveLength(1000);
    passSeconds(rig, 1);
    rig.fromWire(bytes(f.whoHasUs));
    expect(rig.wire()).toHaveLength(1);
  });
});

describe('a host on the link of a frame underlay', () => {
  it('answers who looks whether its IPv6 address is taken, to all', () => {
    const rig = hostRig(6);
    rig.wire();
    rig.fromWire(bytes(V6.isItTaken));
    expect(rig.wire().map(toHex)).toEqual([V6.weAnnounce]);
  });

  it('does not believe another MAC without the override flag (RFC 4861 section 7.2.5)', () => {
    const rig = hostRig(6);
    rig.fromWire(bytes(V6.itHas));
    rig.wire();
    rig.fromWire(bytes(V6.anotherSaysSo));
    expect(sentTo(rig)).toEqual(['020000000a02']);
  });

  it('has what is for tunnels and what is for it in one burst', () => {
    const rig = hostRig();
    rig.wire();
    const frame = udp({ src: 9, dst: 1, payload: 20 });
    const tunneled = outer({}, vxlan(41, frame));
    rig.fromWire(tunneled, bytes(V4.whoHasUs), tunneled, bytes(V4.ping), outer({ dst: '198.18.0.7' }, noise(30)));
    expect(rig.took('a')).toEqual([frame, frame]);
    expect(rig.wire().map(toHex)).toEqual([V4.weHave, V4.pong]);
    expect(rig.drops()).toEqual({ 'not-for-us': 1 });
    expect(rig.row('underlay', FRAMES)).toMatchObject({ rxPackets: 5, consumed: 2 });
  });

  it('sends to peers behind one router by its MAC, plain and superframes, and to each when its own is known', () => {
    const rig = hostRig(4, {
      networks: [network(1, { underlay: FRAMES })],
      peers: ['10.1.0.1', '10.2.0.1'].map((address, k) =>
        peer(k + 1, 1, address, { underlay: FRAMES, nextHop: 7, via: PEER_A }),
      ),
    });
    rig.wire();
    rig.fromWire(bytes(V4.itHas));
    send(rig);
    const sent = rig.wire().map(decodeOuter);
    expect(sent.map(({ dst, dstMac }) => [dst, dstMac])).toEqual([
      ['10.1.0.1', '02:00:00:00:0a:02'],
      ['10.2.0.1', '02:00:00:00:0a:02'],
    ]);
  });

  it('knows next hops still after a change of plan, and forgets those of which no peer is left', () => {
    const rig = hostRig();
    rig.fromWire(bytes(V4.itHas));
    rig.wire();
    rig.plan = { ...rig.plan, generation: 2 };
    rig.apply();
    expect(rig.wire()).toEqual([]);
    expect(sentTo(rig)).toEqual(['020000000a02']);
    const { plan } = rig;
    rig.plan = { ...plan, generation: 3, peers: [], nextHops: [] };
    rig.apply();
    rig.plan = { ...plan, generation: 4 };
    rig.apply();
    expect(rig.wire().map(toHex)).toEqual([V4.weAskAll]);
    expect(sentTo(rig)).toEqual([]);
  });
});
