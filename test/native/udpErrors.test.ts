// What goes wrong on UDP sockets: full buffers, wrong lengths, unreachable destinations, ICMP, loss.
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { removeNamespaces } from '../rig/namespaces.js';
import { describeWith } from '../rig/requirements.js';
import { BURST, eventually, LAYOUT, OUT_AT, pattern } from './binding.js';
import { openUdpRig, SIDES, type UdpRig } from './udpRig.js';

const EAGAIN = -11;
const EMSGSIZE = -90;
const ENETUNREACH = -101;
const B = SIDES[1];

/** Origins of an error (linux/errqueue.h). */
const LOCAL = 1;
const ICMP = 2;

describeWith(['root', 'addon', 'ip', 'ethtool'], 'a UDP socket in trouble', () => {
  let rig: UdpRig;

  beforeAll(() => {
    rig = openUdpRig('err');
  });
  afterEach(() => rig.reset());
  afterAll(removeNamespaces);

  const bindErrors = (fd: number) => rig.addon.bindErrorQueue(undefined, rig.into.io, LAYOUT, [fd]);

  it('keeps an error to the message that has it', async () => {
    const { out } = rig;
    const receiver = rig.open(1);
    const tx = rig.bindTx(rig.open(0, { pmtudiscProbe: true }));
    out.destination(0, B, receiver.port);
    out.destination(1, '203.0.113.1', receiver.port);
    const good = [out.place(OUT_AT, pattern(1000))];
    out.describe(0, good);
    out.describe(1, [{ at: OUT_AT, len: 1473 }]);
    out.describe(2, good);
    out.describe(3, good, { dest: 1 });
    out.describe(4, [{ at: 0, len: 66_000 }]);
    out.describe(5, [{ at: OUT_AT, len: 3000 }], { gso: 1473 });
    out.describe(6, [{ at: OUT_AT, len: 1472 }]);
    expect(tx(0, 7)).toBe(3);
    const results = [1000, EMSGSIZE, 1000, ENETUNREACH, EMSGSIZE, EMSGSIZE, 1472];
    expect([...out.columns.msgResult.subarray(0, 7)]).toEqual(results);
    expect(out.columns.counters[2]).toBe(90);
    const got = await rig.receive(rig.bindRx(receiver), 3472);
    expect(got.map(({ bytes }) => bytes.length)).toEqual([1000, 1000, 1472]);
    // A message too long for its path does not turn the kernel's cutting off.
    const before = out.columns.counters[1];
    out.describe(0, [{ at: OUT_AT, len: 3000 }], { gso: 1000 });
    expect(tx(0, 1)).toBe(1);
    expect(out.columns.counters[1]).toBe(before);
  });

  it('leaves what does not fit the socket buffer to be tried again', () => {
    const { out } = rig;
    // Nobody answers for this neighbour, so datagrams wait for ARP and stay charged to the socket.
    const tx = rig.bindTx(rig.open(0, { sndbuf: 4608 }), rig.open(0));
    out.destination(0, '198.18.0.77', 5000);
    const extent = out.place(OUT_AT, pattern(1400));
    for (let m = 0; m < 10; m++) out.describe(m, [extent], { socket: m === 9 ? 1 : 0 });
    const sent = tx(0, 10);
    expect(sent).toBeGreaterThan(0);
    expect(sent).toBeLessThan(9);
    // What comes behind it stays too, so that nothing overtakes.
    const results = [...Array(sent).fill(1400), ...Array(10 - sent).fill(EAGAIN)];
    expect([...out.columns.msgResult.subarray(0, 10)]).toEqual(results);
    expect(tx(8, 1)).toBe(0);
    expect(out.columns.msgResult[8]).toBe(EAGAIN);
  });

  it('flags a datagram that does not fit its place', async () => {
    const { out, into } = rig;
    const receiver = rig.open(1);
    const tx = rig.bindTx(rig.open(0));
    out.destination(0, B, receiver.port);
    for (const [m, len] of [100, 101, 0].entries()) out.describe(m, [{ at: OUT_AT, len }]);
    into.columns.rxCap.fill(100);
    into.arena.fill(0xee, into.columns.rxAt[1], into.columns.rxAt[1] + 200);
    const before = rig.arrivals(1);
    expect(tx(0, 3)).toBe(3);
    await rig.untilArrived(1, before + 3);
    expect(rig.bindRx(receiver)(BURST)).toBe(3);
    expect([...into.columns.rxLen.subarray(0, 3)]).toEqual([100, 100, 0]);
    expect([...into.columns.rxFlags.subarray(0, 3)]).toEqual([0, 1, 0]);
    expect(into.arena[into.columns.rxAt[1] + 100]).toBe(0xee);
  });

  it('takes in nothing when it only sends', async () => {
    const { out } = rig;
    const [sink, open] = [rig.open(1, { sink: true }), rig.open(1)];
    const tx = rig.bindTx(rig.open(0));
    out.destination(0, B, sink.port);
    out.destination(1, B, open.port);
    out.describe(0, [out.place(OUT_AT, pattern(10))]);
    out.describe(1, [{ at: OUT_AT, len: 10 }], { dest: 1 });
    expect(tx(0, 2)).toBe(2);
    await rig.receive(rig.bindRx(open), 10);
    expect(rig.bindRx(sink)(BURST)).toBe(0);
  });

  it('counts what its receive buffer lost', async () => {
    const { out, into } = rig;
    const receiver = rig.open(1, { rcvbuf: 4096, rxqOvfl: true });
    const tx = rig.bindTx(rig.open(0));
    out.destination(0, B, receiver.port);
    const extent = out.place(OUT_AT, pattern(1000));
    for (let m = 0; m < 32; m++) out.describe(m, [extent]);
    const before = rig.arrivals(1);
    expect(tx(0, 32)).toBe(32);
    await rig.untilArrived(1, before + 32);
    const rx = rig.bindRx(receiver);
    let arrived = 0;
    for (let n = rx(BURST); n > 0; n = rx(BURST)) arrived += n;
    expect(arrived).toBeGreaterThan(0);
    expect(arrived).toBeLessThan(32);
    // The count comes with the first datagram queued after the loss.
    expect(tx(0, 1)).toBe(1);
    await rig.receive(rx, 1000);
    expect(into.columns.counters[0]).toBe(32 - arrived);
  });

  it('hears from ICMP on its error queue, and goes on sending and receiving', async () => {
    const { out } = rig;
    const sender = rig.open(0, { recvErr: true });
    const receiver = rig.open(1);
    const tx = rig.bindTx(sender);
    const errors = bindErrors(sender.fd);
    expect(errors()).toBe(0);
    out.destination(0, B, 9);
    out.destination(1, B, receiver.port);
    const extent = out.place(OUT_AT, pattern(100));
    out.describe(0, [extent]);
    out.describe(1, [extent], { dest: 1 });
    for (let round = 0; round < 3; round++) {
      // The error of the round before is pending on the socket: it must fail neither sending nor receiving.
      expect(tx(0, 2)).toBe(2);
      await new Promise((resolve) => setTimeout(resolve, 20));
      expect(rig.bindRx(sender)(BURST)).toBe(0);
    }
    await rig.receive(rig.bindRx(receiver), 300);
    const refused = { source: B, port: 9, errno: 111, mtu: 0, origin: ICMP };
    expect(await rig.errors(errors, 3)).toEqual(Array(3).fill(refused));
    expect(errors()).toBe(0);
  });

  it('hears of a smaller MTU on the way', async () => {
    const { out, into } = rig;
    const sender = rig.open(0, { recvErr: true, pmtudiscProbe: true });
    const tx = rig.bindTx(sender);
    const errors = bindErrors(sender.fd);
    out.destination(0, B, 5000);
    out.describe(0, [{ at: OUT_AT, len: 1473 }]);
    expect(tx(0, 1)).toBe(0);
    expect(out.columns.msgResult[0]).toBe(EMSGSIZE);
    await eventually(() => (errors() > 0 ? true : undefined));
    const { rxLen, rxGso, rxFlags } = into.columns;
    expect([into.source(0), rxLen[0], rxGso[0], rxFlags[0]]).toEqual([B, 90, 1500, LOCAL]);
    while (errors() > 0);
    // Linux says so of a message that it is to cut, but not how long it may be: its datagrams are tried one by one.
    out.describe(0, [{ at: OUT_AT, len: 3000 }], { gso: 1473 });
    expect(tx(0, 1)).toBe(0);
    expect(out.columns.msgResult[0]).toBe(EMSGSIZE);
    expect(out.columns.counters[1]).toBe(0);
    await eventually(() => (errors() > 0 ? true : undefined));
    expect([into.source(0), rxLen[0], rxGso[0], rxFlags[0]]).toEqual([B, 90, 1500, LOCAL]);
  });
});
