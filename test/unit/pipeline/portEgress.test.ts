import { describe, expect, it } from 'vitest';
import { account } from '../../../src/packet/counters.js';
import { ACK, BROADCAST, join, noise, PSH, type TcpFields, tcp, toHex, udp, vxlan } from '../../rig/frames.js';
import { makeRig, PEER_A, peer, type Rig, type RigPort } from '../../rig/pipeline.js';
import { segmentTwin } from '../../rig/segmentTwin.js';

const VNI = 41;
const TAP = { kind: 'tap', network: 1, vnetHdrLen: 12, offloads: 7 } as const;

/** Station 1 is behind port t, station 9 behind the peer. */
function rigWith(t: Partial<RigPort> = {}): Rig {
  const rig = makeRig({ ports: { t: { id: 1, ...TAP, ...t }, u: { id: 2, ...TAP } }, peers: [peer(1, 1, PEER_A)] });
  rig.from('t', udp({ src: 1, dst: BROADCAST, ipDst: 2, payload: 1 }));
  // A socket takes up to 64 plain datagrams at once after it has seen one.
  rig.fromPeer(PEER_A, VNI, udp({ src: 9, dst: 1, payload: 1 }));
  rig.delivered();
  rig.kernel.sent.length = 0;
  return rig;
}

const segment = (k: number, rest: TcpFields = {}) =>
  tcp({ src: 9, dst: 1, seq: 1000 * k, payload: noise(1000, k + 1), ...rest });
const run = (n: number, rest: TcpFields = {}) => Array.from({ length: n }, (_, k) => segment(k, rest));

/** The datagrams as UDP_GRO hands them over: one buffer. */
function fromPeerJoined(rig: Rig, frames: Uint8Array[]): void {
  const datagrams = frames.map((f) => vxlan(VNI, f));
  rig.datagrams({ bytes: join(...datagrams), segment: datagrams[0].length, from: PEER_A });
}

describe('segments out of a tunnel', () => {
  it.each([4, 6] as const)('are one superframe for a port that takes them (IPv%i)', (family) => {
    for (const give of [fromPeerJoined, (rig: Rig, frames: Uint8Array[]) => rig.fromPeer(PEER_A, VNI, frames)]) {
      const rig = rigWith();
      const frames = run(40, { family });
      give(rig, frames);
      const [d, ...more] = rig.delivered();
      expect(more).toEqual([]);
      const l4 = family === 4 ? 34 : 54;
      expect(d.vnet).toEqual({
        flags: 1,
        gsoType: family === 4 ? 1 : 4,
        headerLen: l4 + 20,
        gsoSize: 1000,
        csumStart: l4,
        csumOffset: 16,
      });
      const payload = join(...Array.from({ length: 40 }, (_, k) => noise(1000, k + 1)));
      expect(d.frame).toEqual(tcp({ family, src: 9, dst: 1, seq: 0, payload, checksum: 'unfinished' }));
      // The account counts the packets of the wire.
      expect(rig.row('port', 1)).toMatchObject({ txPackets: 1 + 40, txSuperframes: 1, txBytes: 43 + d.frame.length });
    }
  });

  it('are cut by the receiver into what was sent', () => {
    const rig = rigWith();
    const frames = run(10).map((f, k) => (k === 9 ? segment(9, { payload: 7, flags: ACK | PSH }) : f));
    rig.fromPeer(PEER_A, VNI, frames);
    const [d] = rig.delivered();
    const again = segmentTwin(d.frame, d.vnet?.gsoSize ?? 0);
    const withoutIpIds = (f: Uint8Array) => join(f.slice(0, 18), f.slice(20, 24), f.slice(26));
    expect(again.map(withoutIpIds)).toEqual(frames.map(withoutIpIds));
  });

  it('stay apart for a port that takes no superframes', () => {
    for (const offloads of [0, 1, 1 | 2, 1 | 4]) {
      const rig = rigWith({ offloads });
      const frames = run(5);
      fromPeerJoined(rig, frames);
      expect(rig.took('t')).toEqual(frames);
    }
  });

  it('stay apart when they are flooded: several receivers share the payload', () => {
    const rig = rigWith();
    const frames = run(5, { dst: 77 });
    fromPeerJoined(rig, frames);
    expect(rig.took('t')).toEqual(frames);
    expect(rig.took('u')).toEqual(frames);
  });

  it('that are damaged are delivered as they are, outside of any superframe', () => {
    const rig = rigWith();
    const frames = [segment(0), segment(1), segment(2, { checksum: 'bad' }), segment(3), segment(4)];
    fromPeerJoined(rig, frames);
    const out = rig.delivered();
    expect(out.map((d) => d.vnet?.gsoType)).toEqual([1, 0, 1]);
    expect(out[1].frame).toEqual(frames[2]);
    expect(out[1].vnet?.flags).toBe(0);
  });

  it('of many flows keep their order, and every packet is sent once', () => {
    const rig = rigWith();
    const frames = Array.from({ length: 64 }, (_, n) => segment(Math.floor(n / 16), { sport: n % 16 }));
    rig.fromPeer(PEER_A, VNI, frames);
    const packets = rig
      .delivered()
      .flatMap((d) => (d.vnet?.gsoType ? segmentTwin(d.frame, d.vnet.gsoSize) : [d.frame]));
    expect(packets).toHaveLength(64);
    for (let flow = 0; flow < 16; flow++) {
      const seqs = packets.filter((p) => p[35] === flow).map((p) => p[40] * 256 + p[41]);
      expect(seqs).toEqual([0, 1000, 2000, 3000]);
    }
  });
});

describe('segments of a local station', () => {
  it('are not joined: what comes from a device comes as large as it gets', () => {
    const rig = rigWith();
    const frames = Array.from({ length: 5 }, (_, k) => tcp({ src: 2, dst: 1, seq: k * 100, payload: 100 }));
    rig.from('u', frames);
    expect(rig.took('t')).toEqual(frames);
  });
});

describe('superframes that are cut for a port', () => {
  it('may be more segments than the outbox has messages', () => {
    const rig = rigWith({ offloads: 0 });
    const frames = [1, 2, 3].map((sport) => tcp({ src: 2, dst: 1, sport, payload: 60_000, checksum: 'unfinished' }));
    rig.from('u', frames, { flags: 1, gsoType: 1, gsoSize: 34, csumStart: 34, csumOffset: 16 });
    expect(rig.took('t').map(toHex)).toEqual(frames.flatMap((f) => segmentTwin(f, 34).map(toHex)));
    expect(rig.row('port', 1).txPackets).toBe(1 + 3 * 1765);
  });
});

describe('an offload leak that is delivered', () => {
  function leaky(deliverOffloadLeak: boolean, t: Partial<RigPort> = {}): Rig {
    const rig = makeRig({
      ports: { t: { id: 1, ...TAP, ...t } },
      peers: [peer(1, 1, PEER_A)],
      underlay: { deliverOffloadLeak },
    });
    rig.from('t', udp({ src: 1, dst: BROADCAST, ipDst: 2, payload: 1 }));
    rig.kernel.sent.length = 0;
    return rig;
  }
  const uncut = tcp({ src: 9, dst: 1, payload: 30_000, checksum: 'unfinished' });

  it('is a superframe for the port, or cut for a port that takes none', () => {
    const rig = leaky(true);
    rig.fromPeer(PEER_A, VNI, uncut);
    const [d] = rig.delivered();
    expect(d).toMatchObject({
      frame: uncut,
      vnet: { flags: 1, gsoType: 1, gsoSize: 1410, csumStart: 34, csumOffset: 16 },
    });
    const plain = leaky(true, { offloads: 0 });
    plain.fromPeer(PEER_A, VNI, uncut);
    expect(plain.took('t')).toEqual(segmentTwin(uncut, 1410));
    expect(account([plain.pipeline.counters])).toMatchObject({ received: 1 + 22, dropped: 0 });
  });

  it('is otherwise dropped under its reason', () => {
    const rig = leaky(false);
    rig.fromPeer(PEER_A, VNI, [uncut, udp({ src: 9, dst: 1, payload: 20, checksum: 'unfinished' })]);
    expect(rig.delivered()).toEqual([]);
    expect(rig.row('peer', 1).drops).toEqual({ 'offload-leak': 2 });
  });
});
