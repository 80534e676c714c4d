// UDP sockets over IPv6: all that is asked of them over IPv4, and checksums that may be left out on one side alone.
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { removeNamespaces } from '../rig/namespaces.js';
import { describeWith } from '../rig/requirements.js';
import { readFields, record } from '../rig/tshark.js';
import { BURST, eventually, LAYOUT, OUT_AT, pattern } from './binding.js';
import { openUdpRig, SIDES_V6, type UdpRig } from './udpRig.js';

const EMSGSIZE = -90;
const ENETUNREACH = -101;
/** linux/errqueue.h */
const [LOCAL, ICMP6] = [1, 3];
const B = SIDES_V6[1];
/** What fits an MTU of 1500 behind IPv6 and UDP headers. */
const ROOM = 1500 - 40 - 8;

describeWith(['root', 'addon', 'ip', 'ethtool', 'tcpdump', 'tshark'], 'a UDP socket over IPv6', () => {
  let rig: UdpRig;

  beforeAll(() => {
    rig = openUdpRig('udp6');
  });
  afterEach(() => rig.reset());
  afterAll(removeNamespaces);

  const open: UdpRig['open'] = (side, settings) => rig.open(side, { family: 6, ...settings });

  it('has a message cut and merged again, with its traffic class and sender', async () => {
    const sender = open(0);
    const receiver = open(1, { gro: true, recvTos: true });
    expect([sender.segment, receiver.gro]).toEqual([true, true]);
    const tx = rig.bindTx(sender);
    rig.out.destination(0, B, receiver.port);
    const bytes = pattern(1400 * 20 + 600);
    rig.out.describe(0, [rig.out.place(OUT_AT, bytes)], { gso: 1400, tos: 0xb9 });
    expect(tx(0, 1)).toBe(1);
    expect(rig.out.columns.counters[1]).toBe(0);
    const got = await rig.receive(rig.bindRx(receiver), bytes.length);
    expect(got.length).toBeLessThan(21);
    expect(Math.max(...got.map(({ gso }) => gso))).toBe(1400);
    expect(Buffer.concat(got.map((datagram) => datagram.bytes)).equals(bytes)).toBe(true);
    for (const { source, port, tos } of got) expect([source, port, tos]).toEqual([SIDES_V6[0], sender.port, 0xb9]);
  });

  it('leaves checksums out, and accepts that, each on its own', async () => {
    const recording = await record(rig.names[1], 'v0', { direction: 'in', filter: 'udp' });
    const plain = open(0);
    const bare = open(0, { noChecksum: true });
    const strict = open(1);
    const lenient = open(1, { acceptZeroChecksum: true });
    const both = open(1, { noChecksum: true });
    const neither = open(1, { noChecksum: true, acceptZeroChecksum: false });
    expect([lenient.segment, bare.segment]).toEqual([true, false]);
    const tx = rig.bindTx(plain, bare);
    const receivers = [strict, lenient, both, neither];
    const bytes = rig.out.place(OUT_AT, pattern(500));
    for (const [row, { port }] of receivers.entries()) {
      rig.out.destination(row, B, port);
      rig.out.describe(2 * row, [bytes], { dest: row });
      rig.out.describe(2 * row + 1, [bytes, bytes], { dest: row, socket: 1 });
    }
    // The last one to be sent: when it is there, so is whatever was sent before.
    rig.out.describe(8, [{ at: OUT_AT, len: 100 }], { dest: 3 });
    expect(tx(0, 9)).toBe(9);
    const last = (await rig.receive(rig.bindRx(neither), 600)).map(({ bytes: { length } }) => length);
    // RFC 8200, section 8.1: without leave, a datagram without checksum is dropped.
    const lengths = receivers.slice(0, 3).map((receiver) => {
      const n = rig.bindRx(receiver)(BURST);
      return [...rig.into.columns.rxLen.subarray(0, n)];
    });
    expect([...lengths, last]).toEqual([[500], [500, 1000], [500, 1000], [500, 100]]);
    // The lenient socket sends with a checksum all the same.
    const fields = await readFields(await recording.stop(), ['udp.length', 'udp.checksum', 'udp.checksum.status']);
    const sums = fields.map((field) => [field['udp.length'][0], field['udp.checksum'][0] === '0x0000'].join());
    expect(new Set(sums)).toEqual(new Set(['508,false', '1008,true', '108,false']));
    const back = await record(rig.names[0], 'v0', { direction: 'in', filter: 'udp' });
    const answer = rig.bindTx(lenient);
    rig.out.destination(0, SIDES_V6[0], plain.port);
    rig.out.describe(0, [bytes]);
    expect(answer(0, 1)).toBe(1);
    expect(await rig.receive(rig.bindRx(plain), 500)).toHaveLength(1);
    const [answered] = await readFields(await back.stop(), ['udp.checksum']);
    expect(answered['udp.checksum'][0]).not.toBe('0x0000');
  });

  it('takes zero checksums from a peer and merges nothing of them', async () => {
    const receiver = open(1, { gro: true, acceptZeroChecksum: true });
    const tx = rig.bindTx(open(0, { noChecksum: true }));
    rig.out.destination(0, B, receiver.port);
    const bytes = pattern(3000);
    rig.out.describe(0, [rig.out.place(OUT_AT, bytes)], { gso: 1000 });
    expect(tx(0, 1)).toBe(1);
    expect(rig.out.columns.counters[1]).toBe(1);
    const got = await rig.receive(rig.bindRx(receiver), 3000);
    expect(Buffer.concat(got.map((datagram) => datagram.bytes)).equals(bytes)).toBe(true);
  });

  it('is never fragmented when it probes, with an error to the message that is too long', async () => {
    const receiver = open(1);
    const tx = rig.bindTx(open(0, { pmtudiscProbe: true, ttl: 7 }), open(0));
    rig.out.destination(0, B, receiver.port);
    rig.out.destination(1, 'fd00:13::1', receiver.port);
    const of = (len: number) => [{ at: OUT_AT, len }];
    rig.out.describe(0, of(ROOM));
    rig.out.describe(1, of(ROOM + 1));
    rig.out.describe(2, of(100), { dest: 1 });
    rig.out.describe(3, of(66_000));
    rig.out.describe(4, of(3000), { gso: ROOM + 1 });
    rig.out.describe(5, of(3000), { socket: 1 });
    rig.out.describe(6, of(1));
    // UDP and fragments: reports of multicast groups have an extension header, and are nothing to a filter that leaves out ICMPv6.
    const recording = await record(rig.names[1], 'v0', { direction: 'in', filter: 'ip6 proto 17 or ip6 proto 44' });
    expect(tx(0, 7)).toBe(3);
    const results = [ROOM, EMSGSIZE, ENETUNREACH, EMSGSIZE, EMSGSIZE, 3000, 1];
    expect([...rig.out.columns.msgResult.subarray(0, 7)]).toEqual(results);
    const got = await rig.receive(rig.bindRx(receiver), ROOM + 3001);
    expect(got.map(({ bytes }) => bytes.length)).toEqual([ROOM, 3000, 1]);
    const wire = await readFields(await recording.stop(), ['ipv6.hlim', 'ipv6.plen', 'ipv6.fraghdr.offset']);
    const short = wire.map((fields) => [fields['ipv6.hlim'][0], fields['ipv6.fraghdr.offset'].length > 0]);
    expect(short).toEqual([['7', false], ...Array(3).fill(['64', true]), ['7', false]]);
  });

  it('hears from ICMPv6 on its error queue, and of a smaller MTU', async () => {
    const { out, into } = rig;
    const sender = open(0, { recvErr: true, pmtudiscProbe: true });
    const tx = rig.bindTx(sender);
    const errors = rig.addon.bindErrorQueue(undefined, into.io, LAYOUT, [sender.fd]);
    out.destination(0, B, 9);
    out.describe(0, [out.place(OUT_AT, pattern(100))]);
    for (let round = 0; round < 2; round++) {
      expect(tx(0, 1)).toBe(1);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await eventually(() => (errors() > 0 ? true : undefined));
    const { rxLen, rxPort, rxFlags, rxGso } = into.columns;
    expect([into.source(0), rxPort[0], rxLen[0], rxFlags[0]]).toEqual([B, 9, 111, ICMP6]);
    out.describe(0, [{ at: OUT_AT, len: ROOM + 1 }]);
    expect(tx(0, 1)).toBe(0);
    // What is left of the others may come first.
    const local = await eventually(() => rxFlags.subarray(0, errors()).indexOf(LOCAL) + 1 || undefined);
    expect([into.source(local - 1), rxLen[local - 1], rxGso[local - 1]]).toEqual([B, 90, 1500]);
  });
});
