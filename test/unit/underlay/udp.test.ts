import { describe, expect, it } from 'vitest';
import { noise, tcp, toHex, udp, vxlan } from '../../rig/frames.js';
import type { Datagram } from '../../rig/kernel.js';
import { makeRig, PEER_A, PEER_B, peer, type RigOptions, SOCKETS } from '../../rig/pipeline.js';

const VNI = 41;
/** The receiving socket of a rig. */
const RX_FD = 100;

const socketRig = (rest: Partial<RigOptions> = {}) =>
  makeRig({ ports: { a: { id: 1, network: 1 } }, peers: [peer(1, 1, PEER_A), peer(2, 1, PEER_B)], ...rest });

const frame = (n: number, payload = 50) => udp({ src: 9, dst: 1, sport: n, payload });

/** What UDP_GRO makes of datagrams of one flow: all of the first one's size, the last may be shorter. */
function joined(frames: Uint8Array[], from = PEER_A, rest: Partial<Datagram> = {}): Datagram {
  const datagrams = frames.map((f) => vxlan(VNI, f));
  const bytes = new Uint8Array(datagrams.reduce((n, d) => n + d.length, 0));
  let at = 0;
  for (const d of datagrams) {
    bytes.set(d, at);
    at += d.length;
  }
  return { bytes, segment: datagrams[0].length, from, ...rest };
}

const range = (n: number) => Array.from({ length: n }, (_, k) => k);

describe('datagrams that come in', () => {
  it('are frames, in order, however many come in one receive', () => {
    for (const n of [1, 8, 63, 64, 65, 200]) {
      const rig = socketRig();
      const frames = range(n).map((k) => frame(k));
      rig.fromPeer(PEER_A, VNI, frames);
      expect(rig.took('a')).toEqual(frames);
      expect(rig.row('underlay', SOCKETS).rxPackets).toBe(n);
    }
  });

  it('joined by UDP_GRO are cut where they lie: any number of segments, the last may be short', () => {
    for (const n of [2, 3, 45, 64]) {
      for (const last of [0, 1, 49, 50]) {
        const rig = socketRig();
        const frames = range(n).map((k) => frame(k, k === n - 1 ? last : 50));
        rig.datagrams(joined(frames));
        expect(rig.took('a')).toEqual(frames);
      }
    }
  });

  it('of several sizes and senders in one receive are all cut right', () => {
    const rig = socketRig();
    const groups = [
      range(64).map((k) => frame(k, 30)),
      range(1).map((k) => frame(k, 900)),
      range(33).map((k) => frame(k, 1000)),
      range(40).map((k) => frame(k, 1 + (k < 39 ? 1 : 0))),
      range(2).map((k) => frame(k, 1400)),
    ];
    rig.datagrams(...groups.map((g, k) => joined(g, k % 2 ? PEER_B : PEER_A)));
    expect(rig.took('a').map(toHex)).toEqual(groups.flat().map(toHex));
    expect(rig.row('peer', 1).rxPackets).toBe(64 + 33 + 2);
    expect(rig.row('peer', 2).rxPackets).toBe(41);
  });

  it('as long as a datagram of IPv4 can be have room', () => {
    const rig = socketRig();
    const frames = range(44).map((k) => frame(k, 1396));
    const d = joined([...frames, frame(44, 1396)]);
    expect(d.bytes.length).toBeGreaterThan(65_000);
    rig.datagrams(d);
    expect(rig.took('a')).toHaveLength(45);
    rig.datagrams({ bytes: noise(65_507), from: PEER_A });
    expect(Object.values(rig.drops())).toEqual([1]);
    expect(rig.drops().truncated).toBeUndefined();
  });

  it('of no bytes are counted', () => {
    const rig = socketRig();
    rig.datagrams({ bytes: new Uint8Array(0), from: PEER_A }, { bytes: vxlan(VNI, frame(1)), from: PEER_A });
    expect(rig.drops()).toEqual({ 'malformed-tunnel': 1 });
    expect(rig.took('a')).toEqual([frame(1)]);
  });

  it('that were cut by the receive are dropped, every segment of them', () => {
    const rig = socketRig();
    rig.datagrams(joined([frame(1), frame(2)], PEER_A, { isTruncated: true }), joined([frame(3), frame(4)]));
    expect(rig.drops()).toEqual({ truncated: 2 });
    expect(rig.took('a')).toEqual([frame(3), frame(4)]);
  });

  it('tell their outer TOS to each of their frames', () => {
    const rig = socketRig();
    rig.datagrams(
      joined(
        [tcp({ src: 9, dst: 1, payload: 9, tos: 2 }), tcp({ src: 9, dst: 1, payload: 9, tos: 2, seq: 99 })],
        PEER_A,
        { tos: 3 },
      ),
    );
    expect(rig.took('a').map((f) => f[15])).toEqual([3, 3]);
    rig.datagrams(joined([tcp({ src: 9, dst: 1, payload: 9, tos: 0 })], PEER_A, { tos: 3 }));
    expect(rig.drops()).toEqual({ ecn: 1 });
  });

  it('are received again after the kernel refused once', () => {
    const rig = socketRig();
    rig.kernel.rxError.set(RX_FD, -104);
    const underlay = rig.pipeline.walk.underlays[SOCKETS];
    expect(underlay && rig.pipeline.walk.fromUnderlay(underlay)).toBe(-104);
    rig.fromPeer(PEER_A, VNI, frame(1));
    expect(rig.took('a')).toEqual([frame(1)]);
  });
});

describe('what the kernel lost before rx', () => {
  it('is counted once, also over the wrap of its counter', () => {
    const rig = socketRig();
    const missedAfter = (lost: number) => {
      rig.kernel.overflowed.set(RX_FD, lost);
      rig.fromPeer(PEER_A, VNI, frame(1));
      return rig.row('underlay', SOCKETS).missed;
    };
    expect(missedAfter(5)).toBe(5);
    expect(missedAfter(5)).toBe(5);
    expect(missedAfter(7)).toBe(7);
    expect(missedAfter(0xfffffff0)).toBe(0xfffffff0);
    expect(missedAfter(4)).toBe(0xfffffff0 + 20);
    expect(missedAfter(4)).toBe(0xfffffff0 + 20);
  });

  it('is told apart for two underlays of one worker', () => {
    const rig = socketRig();
    const OTHER = 3;
    rig.plan.underlays.push({ ...rig.plan.underlays[0], id: OTHER, name: 'other', udpPort: 8472 });
    rig.opened.underlays.push({
      underlay: OTHER,
      rxFds: [RX_FD + 1],
      txFds: [300],
      protocols: [],
      gro: true,
      segment: true,
    });
    rig.apply();
    const receive = (fd: number, id: number) => {
      rig.kernel.datagrams(fd, { bytes: vxlan(VNI, frame(1)), from: PEER_A });
      const underlay = rig.pipeline.walk.underlays[id];
      if (underlay) rig.pipeline.walk.fromUnderlay(underlay);
    };
    rig.kernel.overflowed.set(RX_FD, 9);
    for (let turn = 0; turn < 3; turn++) {
      receive(RX_FD, SOCKETS);
      receive(RX_FD + 1, OTHER);
    }
    rig.kernel.overflowed.set(RX_FD + 1, 2);
    receive(RX_FD + 1, OTHER);
    receive(RX_FD, SOCKETS);
    expect([rig.row('underlay', SOCKETS).missed, rig.row('underlay', OTHER).missed]).toEqual([9, 2]);
    rig.took('a');
  });
});

describe('ICMP errors that come back', () => {
  it('are counted at every peer behind the address, with their errno', () => {
    const rig = socketRig({
      networks: undefined,
      peers: [peer(1, 1, PEER_A), peer(2, 1, PEER_B), peer(3, 1, PEER_A)],
    });
    rig.kernel.errors.push(
      { address: PEER_A, errno: 90 },
      { address: PEER_A, errno: 111 },
      { address: '198.18.0.99', errno: 113 },
    );
    rig.pipeline.tick();
    expect([1, 2, 3].map((id) => rig.row('peer', id).icmpErrors)).toEqual([2, 0, 2]);
    expect([1, 2, 3].map((id) => rig.row('peer', id).lastErrno)).toEqual([111, 0, 111]);
  });

  it('are read to their end, and no further than a hostile path lets them be read', () => {
    const rig = socketRig();
    rig.kernel.errors.push(...range(200).map(() => ({ address: PEER_A, errno: 111 })));
    rig.pipeline.tick();
    expect(rig.row('peer', 1).icmpErrors).toBe(200);
    rig.kernel.errors.push(...range(5000).map(() => ({ address: PEER_A, errno: 111 })));
    rig.pipeline.tick();
    expect(rig.row('peer', 1).icmpErrors).toBe(200 + 1024);
  });
});
