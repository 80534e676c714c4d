import { describe, expect, it } from 'vitest';
import { LARGE_DATA } from '../../../src/packet/arena.js';
import { BROADCAST, noise, tcp, udp } from '../../rig/frames.js';
import { makeRig, type RigPort } from '../../rig/pipeline.js';
import { finishTransport, segmentTwin } from '../../rig/segmentTwin.js';

const TAP = { id: 1, network: 1, kind: 'tap' } as const;
const tapRig = (t: Partial<RigPort> = {}, u: Partial<RigPort> = {}) =>
  makeRig({ ports: { t: { ...TAP, ...t }, u: { ...TAP, id: 2, ...u } } });

const CSUM = 1;
const TSO4 = 2;
const TSO6 = 4;

const toAll = (payload: number, n = 1) => udp({ src: 5, dst: BROADCAST, ipDst: 2, sport: n, payload });
const unfinishedTcp = (payload: number, family: 4 | 6 = 4) =>
  tcp({ family, src: 5, dst: BROADCAST, ipDst: 2, payload, checksum: 'unfinished' });
const gso4 = { flags: 1, gsoType: 1, gsoSize: 1000, csumStart: 34, csumOffset: 16 };
const gso6 = { flags: 1, gsoType: 4, gsoSize: 1000, csumStart: 54, csumOffset: 16 };

describe.each([0, 10, 12])('a TAP with a virtio-net header of %i bytes', (vnetHdrLen) => {
  it('gives and takes plain frames as they are, with a header of zeros', () => {
    const rig = tapRig({ vnetHdrLen }, { vnetHdrLen });
    const frames = Array.from({ length: 150 }, (_, n) => toAll(n, n));
    rig.from('t', frames);
    const out = rig.delivered();
    expect(out.map((d) => d.frame)).toEqual(frames);
    const zero = { flags: 0, gsoType: 0, headerLen: 0, gsoSize: 0, csumStart: 0, csumOffset: 0 };
    for (const d of out) expect(d.vnet).toEqual(vnetHdrLen === 0 ? null : zero);
  });

  it('takes frames of any length that a slot holds, longer ones are truncated', () => {
    const rig = tapRig({ vnetHdrLen }, { vnetHdrLen });
    const longest = noise(LARGE_DATA).fill(0xff, 0, 6).fill(2, 6, 12).fill(0x88, 12, 14);
    rig.from('t', [longest, noise(LARGE_DATA + 1)]);
    expect(rig.took('u')).toEqual([longest]);
    expect(rig.drops()).toEqual({ truncated: 1 });
  });
});

describe('offloads of the receiving TAP', () => {
  it('let a superframe through whole, with its metadata', () => {
    for (const [frame, gso, offloads] of [
      [unfinishedTcp(5000), gso4, CSUM | TSO4],
      [unfinishedTcp(5000, 6), gso6, CSUM | TSO6],
      [unfinishedTcp(60_000), { ...gso4, gsoType: 0x81 }, CSUM | TSO4],
    ] as const) {
      const rig = tapRig({ vnetHdrLen: 12 }, { vnetHdrLen: 12, offloads });
      rig.from('t', frame, gso);
      const [d] = rig.delivered();
      expect(d.frame).toEqual(frame);
      expect(d.vnet).toEqual({ ...gso, headerLen: gso.csumStart + 20 });
      const packets = Math.ceil((frame.length - gso.csumStart - 20) / 1000);
      expect(rig.row('port', 2)).toMatchObject({ txPackets: packets, txSuperframes: 1 });
      expect(rig.row('port', 1)).toMatchObject({ rxPackets: packets, rxSuperframes: 1, rxBytes: frame.length });
    }
  });

  it('that are not there have it cut', () => {
    for (const [frame, gso, offloads] of [
      [unfinishedTcp(5001), gso4, CSUM | TSO6],
      [unfinishedTcp(5001, 6), gso6, CSUM | TSO4],
      [unfinishedTcp(5001), gso4, 0],
    ] as const) {
      const rig = tapRig({ vnetHdrLen: 12 }, { vnetHdrLen: 12, offloads });
      rig.from('t', frame, gso);
      expect(rig.took('u')).toEqual(segmentTwin(frame, 1000));
      expect(rig.row('port', 2)).toMatchObject({ txPackets: 6, txSuperframes: 0 });
    }
  });

  it('let an unfinished checksum through, or have it finished', () => {
    const frame = udp({ src: 5, dst: 6, payload: 77, checksum: 'unfinished' });
    const vnet = { flags: 1, csumStart: 34, csumOffset: 6 };
    const known = (offloads: number) => {
      const rig = tapRig({ vnetHdrLen: 12 }, { vnetHdrLen: 12, offloads });
      rig.from('u', udp({ src: 6, dst: BROADCAST, ipDst: 1, payload: 1 }));
      rig.delivered();
      rig.from('t', frame, vnet);
      return rig.delivered()[0];
    };
    expect(known(CSUM)).toMatchObject({ frame, vnet: { flags: 1, csumStart: 34, csumOffset: 6, gsoType: 0 } });
    expect(known(0)).toMatchObject({ frame: finishTransport(frame), vnet: { flags: 0, csumStart: 0 } });
  });

  it('count for nothing without a virtio-net header', () => {
    const rig = tapRig({ vnetHdrLen: 12 }, { vnetHdrLen: 0, offloads: CSUM | TSO4 | TSO6 });
    const frame = unfinishedTcp(3000);
    rig.from('t', frame, gso4);
    expect(rig.took('u')).toEqual(segmentTwin(frame, 1000));
  });
});

describe('what a device says of its frames', () => {
  it('is not trusted', () => {
    const rig = tapRig({ vnetHdrLen: 12 }, { vnetHdrLen: 12, offloads: 7 });
    const frame = unfinishedTcp(3000);
    for (const bad of [
      { ...gso4, flags: 0 },
      { ...gso4, gsoType: 3 },
      { ...gso4, gsoType: 5 },
      { ...gso4, gsoType: 4 },
      { ...gso4, csumStart: 35 },
      { ...gso4, csumOffset: 6 },
      { ...gso4, gsoSize: 0 },
      { ...gso4, gsoSize: 1 },
      { flags: 1, csumStart: 3050, csumOffset: 16 },
    ]) {
      rig.from('t', frame, bad);
    }
    expect(rig.delivered()).toEqual([]);
    expect(rig.drops()).toEqual({ 'bad-offload': 9 });
  });

  it('as header length is not looked at: forwarded frames have it wrong', () => {
    const rig = tapRig({ vnetHdrLen: 12 }, { vnetHdrLen: 12, offloads: 7 });
    const frame = unfinishedTcp(3000);
    for (const headerLen of [0, 1, 65535]) rig.from('t', frame, { ...gso4, headerLen });
    expect(rig.delivered().map((d) => d.vnet?.headerLen)).toEqual([54, 54, 54]);
  });

  it('as flags of received frames is not passed on: DATA_VALID is a claim of the device', () => {
    const rig = tapRig({ vnetHdrLen: 12 }, { vnetHdrLen: 12, offloads: 7 });
    rig.from('t', toAll(20), { flags: 2 });
    expect(rig.delivered()[0].vnet?.flags).toBe(0);
  });
});

describe('a TAP that fails', () => {
  it('gives its errno to the caller of the walk', () => {
    const rig = tapRig();
    rig.kernel.rxError.set(1001, -77);
    const port = rig.pipeline.walk.ports[1];
    expect(port && rig.pipeline.walk.fromPort(port)).toBe(-77);
  });

  it('has what it did not take counted under a reason', () => {
    const errors = [-11, -105, -90, -5, -9, -19, -77, -100, -1, -22];
    const rig = tapRig();
    rig.kernel.refuse = (_fd, m) => errors[m];
    rig.from(
      't',
      [...errors, 0].map((_, n) => toAll(9, n)),
    );
    expect(rig.took('u')).toHaveLength(1);
    expect(rig.row('port', 2)).toMatchObject({
      txPackets: 1,
      drops: { 'tx-full': 2, 'tx-too-big': 1, 'device-gone': 5, 'tx-error': 2 },
    });
  });

  it('has a superframe that it did not take counted by its packets', () => {
    const rig = tapRig({ vnetHdrLen: 12 }, { vnetHdrLen: 12, offloads: 7 });
    rig.kernel.refuse = () => -11;
    rig.from('t', unfinishedTcp(4500), gso4);
    expect(rig.drops()).toEqual({ 'tx-full': 5 });
  });
});

it('reads for nobody when another worker has its queue', () => {
  const rig = tapRig();
  rig.opened.ports[0].rxFd = -1;
  rig.apply();
  const port = rig.pipeline.walk.ports[1];
  rig.kernel.frames(1001, { frame: toAll(3) });
  expect(port?.rx()).toBe(0);
});
