// Raw IP sockets: what tunnels with an IP protocol of their own send and receive, over both families.
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import type { IoLayout, RawRequest, RawSocket } from '../../src/native/tun.js';
import { removeNamespaces, runIn } from '../rig/namespaces.js';
import { describeWith } from '../rig/requirements.js';
import { readFields, record } from '../rig/tshark.js';
import { BURST, LAYOUT, OUT_AT, pattern, thrownBy } from './binding.js';
import { openUdpRig, SIDES, SIDES_V6, type UdpRig } from './udpRig.js';

const GRE = 47;
const EMSGSIZE = -90;
/** linux/errqueue.h */
const [LOCAL, ICMP, ICMP6] = [1, 2, 3];

describeWith(['root', 'addon', 'ip', 'ethtool', 'python3'], 'a raw IP socket', () => {
  let rig: UdpRig;
  const descriptors: number[] = [];

  beforeAll(() => {
    rig = openUdpRig('raw');
  });
  afterEach(() => {
    for (const fd of descriptors.splice(0)) rig.addon.close(fd);
    rig.reset();
  });
  afterAll(removeNamespaces);

  function open(side: 0 | 1, settings: Partial<RawRequest> = {}): RawSocket {
    const address = (settings.family === 6 ? SIDES_V6 : SIDES)[side];
    const socket = rig.addon.rawOpen({ netns: rig.path(side), family: 4, address, protocol: GRE, ...settings });
    descriptors.push(socket.fd);
    return socket;
  }
  const bindTx = (...sockets: RawSocket[]) => {
    const { arena, io, destinations } = rig.out;
    const fds = sockets.map(({ fd }) => fd);
    return rig.addon.bindUdpTx(arena, io, LAYOUT, fds, destinations);
  };
  const bindRx = ({ fd }: RawSocket) => rig.addon.bindRawRx(rig.into.arena, rig.into.io, LAYOUT, fd);
  const offsets = (n: number) => [...rig.into.columns.rxOff.subarray(0, n)];

  it('says what was opened, and what is in the way', () => {
    expect(open(0, { rcvbuf: 3 << 20, sndbuf: 2 << 20 })).toMatchObject({ rcvbuf: 6 << 20, sndbuf: 4 << 20 });
    const failures: [Partial<RawRequest>, object][] = [
      [{ address: '198.18.9.9' }, { code: 'EADDRNOTAVAIL', syscall: 'bind', message: expect.stringContaining('47') }],
      [
        { family: 6, address: 'fd00:99::1' },
        { code: 'EADDRNOTAVAIL', syscall: 'bind' },
      ],
      [{ device: 'wtmissing' }, { code: 'ENODEV', syscall: 'setsockopt' }],
      [{ netns: '/run/netns/wt-missing' }, { code: 'ENOENT', syscall: 'open' }],
      [{ protocol: 255 }, { code: 'ERR_OUT_OF_RANGE' }],
      [
        { family: 6, address: SIDES[0] },
        { code: 'ERR_OUT_OF_RANGE', message: expect.stringContaining('rawOpen') },
      ],
    ];
    for (const [settings, expected] of failures) expect(thrownBy(() => open(0, settings))).toMatchObject(expected);
    const udp = rig.open(0);
    expect(thrownBy(() => bindRx(udp))).toMatchObject({ code: 'EPROTOTYPE' });
  });

  it('refuses a layout or a number that leaves what was bound', () => {
    const { arena, io, columns } = rig.into;
    const socket = open(0);
    for (const field of [
      'burst',
      'rxAt',
      'rxCap',
      'rxLen',
      'rxSrc',
      'rxTos',
      'rxFlags',
      'rxOff',
      'counters',
    ] as const) {
      for (const value of [undefined, -1, 1.5, 2 ** 31 - 1]) {
        const layout = { ...LAYOUT, [field]: value } as IoLayout;
        expect(() => rig.addon.bindRawRx(arena, io, layout, socket.fd), `${field} ${value}`).toThrow(field);
      }
    }
    const rx = bindRx(socket);
    for (const max of [BURST + 1, -1, 0.5, Number.NaN]) expect(rx(max)).toBe(-22);
    columns.rxAt[1] = arena.length - 9;
    columns.rxCap[1] = 10;
    expect(rx(2)).toBe(-22);
    expect(rx(1)).toBe(0);
  });

  it.each([
    [4, 4],
    [4, 41],
    [4, 47],
    [6, 4],
    [6, 41],
    [6, 47],
  ] as const)(
    'over IPv%i carries protocol %i, from the first byte behind the IP header on',
    async (family, protocol) => {
      const sides = family === 6 ? SIDES_V6 : SIDES;
      const [sender, second] = [
        open(0, { family, protocol, sink: true }),
        open(0, { family, protocol, sink: true, tos: 0x48 }),
      ];
      const receiver = open(1, { family, protocol, recvTos: true });
      const bystander = open(1, { family, protocol: 99 });
      const tx = bindTx(sender, second);
      rig.out.destination(0, sides[1], 0);
      const [head, body] = [rig.out.place(OUT_AT, pattern(50)), rig.out.place(OUT_AT + 501, pattern(700, 2))];
      rig.out.describe(0, [head, body], { tos: 0xb9 });
      rig.out.describe(1, [body], { socket: 1 });
      rig.out.describe(2, [head], { tos: 0 });
      rig.into.columns.rxOff.fill(77);
      rig.into.columns.rxGso.fill(77);
      expect(tx(0, 3)).toBe(3);
      expect([...rig.out.columns.msgResult.subarray(0, 3)]).toEqual([750, 700, 50]);
      const got = await rig.receive(bindRx(receiver), 1500);
      const whole = [...pattern(50), ...pattern(700, 2)];
      expect(got.map(({ bytes }) => [...bytes])).toEqual([whole, whole.slice(50), whole.slice(0, 50)]);
      expect(got.map(({ tos }) => tos)).toEqual([0xb9, 0x48, 0]);
      expect(got.map(({ source, port, gso, flags }) => [source, port, gso, flags])).toEqual(
        Array(3).fill([sides[0], 0, 0, 0]),
      );
      expect(offsets(3)).toEqual([0, 0, 0]);
      expect(bindRx(bystander)(BURST)).toBe(0);
    },
  );

  it('says how many bytes of IPv4 options come first', async () => {
    const rx = bindRx(open(1));
    // Three options of RFC 791: no operation; RFC 2113: router alert; RFC 791: stream id. Then 40 bytes, the most there can be.
    const script = `
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, ${GRE})
for options in ('01010101', '94040000', '01' * 40, ''):
  s.setsockopt(0, 4, bytes.fromhex(options)); s.sendto(b'payload', ('${SIDES[1]}', 0))`;
    runIn(rig.names[0], 'python3', '-c', script);
    const got = await rig.receive(rx, 4 + 4 + 40 + 4 * 7);
    expect(offsets(4)).toEqual([4, 4, 40, 0]);
    expect(got.map(({ bytes }, i) => Buffer.from(bytes.subarray(offsets(4)[i])).toString())).toEqual(
      Array(4).fill('payload'),
    );
  });

  it('says that options are cut off, and where a packet is', async () => {
    const rx = bindRx(open(1));
    rig.into.columns.rxCap.fill(6);
    const script = `
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, ${GRE})
for options, payload in (('01' * 4, b'xx'), ('01' * 4, b'xyz'), ('01' * 8, b'')):
  s.setsockopt(0, 4, bytes.fromhex(options)); s.sendto(payload, ('${SIDES[1]}', 0))`;
    runIn(rig.names[0], 'python3', '-c', script);
    const got = await rig.receive(rx, 18);
    expect(offsets(3)).toEqual([4, 4, -1]);
    expect(got.map(({ bytes, flags }) => [bytes.length, flags])).toEqual([
      [6, 0],
      [6, 1],
      [6, 1],
    ]);
  });

  it.each([4, 6] as const)('over IPv%i takes what is for its own address, each socket a copy', async (family) => {
    const other = family === 6 ? 'fd00:12:0:0:0:0:0:77' : '198.18.0.77';
    rig.addon.addressAdd({
      netns: rig.path(1),
      name: 'v0',
      address: `${other}/${family === 6 ? 64 : 24}`,
      noDad: true,
    });
    const sockets = [open(1, { family }), open(1, { family }), open(1, { family, sink: true })];
    const elsewhere = open(1, { family, address: other });
    const tx = bindTx(open(0, { family }));
    rig.out.destination(0, (family === 6 ? SIDES_V6 : SIDES)[1], 0);
    rig.out.destination(1, other, 0);
    rig.out.describe(0, [rig.out.place(OUT_AT, pattern(10))]);
    rig.out.describe(1, [{ at: OUT_AT, len: 20 }], { dest: 1 });
    expect(tx(0, 2)).toBe(2);
    const lengths = async (socket: RawSocket, bytes: number) =>
      (await rig.receive(bindRx(socket), bytes)).map(({ bytes: { length } }) => length);
    expect(await lengths(elsewhere, 20)).toEqual([20]);
    expect(await lengths(sockets[0], 10)).toEqual([10]);
    expect(await lengths(sockets[1], 10)).toEqual([10]);
    expect(bindRx(sockets[2])(BURST)).toBe(0);
    rig.addon.addressDelete({ netns: rig.path(1), name: 'v0', address: `${other}/${family === 6 ? 64 : 24}` });
  });

  it.each([4, 6] as const)('over IPv%i keeps an error to the message that has it', async (family) => {
    const room = 1500 - (family === 6 ? 40 : 20);
    const receiver = open(1, { family });
    const tx = bindTx(open(0, { family, pmtudiscProbe: true }), open(0, { family }));
    rig.out.destination(0, (family === 6 ? SIDES_V6 : SIDES)[1], 0);
    rig.out.destination(1, family === 6 ? 'fd00:13::1' : '203.0.113.1', 0);
    // The kernel takes a port for a protocol over IPv6.
    rig.out.destination(2, (family === 6 ? SIDES_V6 : SIDES)[1], 9);
    rig.out.place(OUT_AT, pattern(3000));
    const of = (len: number) => [{ at: OUT_AT, len }];
    rig.out.describe(0, of(room));
    rig.out.describe(1, of(room + 1));
    rig.out.describe(2, of(100));
    rig.out.describe(3, of(100), { dest: 1 });
    rig.out.describe(4, of(66_000));
    // Without pmtudiscProbe it goes in fragments, and arrives as one.
    rig.out.describe(5, of(3000), { socket: 1 });
    rig.out.describe(6, of(50));
    rig.out.describe(7, of(60), { dest: 2 });
    const passes = family === 4 ? [60] : [];
    expect(tx(0, 8)).toBe(4 + passes.length);
    const results = [room, EMSGSIZE, 100, -101, EMSGSIZE, 3000, 50, ...(family === 4 ? [60] : [-22])];
    expect([...rig.out.columns.msgResult.subarray(0, 8)]).toEqual(results);
    const got = await rig.receive(bindRx(receiver), room + 100 + 3000 + 50);
    expect(got.map(({ bytes }) => bytes.length).slice(0, 4)).toEqual([room, 100, 3000, 50]);
    expect(Buffer.from(got[2].bytes).equals(pattern(3000))).toBe(true);
  });

  it.each([4, 6] as const)('over IPv%i hears from ICMP on its error queue, and goes on', async (family) => {
    const { into, out } = rig;
    const address = (family === 6 ? SIDES_V6 : SIDES)[1];
    // Nobody receives this protocol. More answers than the kernel's limit for one destination are not asked for.
    runIn(rig.names[1], 'sysctl', '-qw', 'net.ipv4.icmp_ratelimit=0', 'net.ipv6.icmp.ratelimit=0');
    const sender = open(0, { family, recvErr: true, pmtudiscProbe: true, protocol: 41 });
    const tx = bindTx(sender);
    const errors = rig.addon.bindErrorQueue(undefined, into.io, LAYOUT, [sender.fd]);
    out.destination(0, address, 0);
    out.describe(0, [out.place(OUT_AT, pattern(100))]);
    for (let round = 0; round < 3; round++) {
      expect(tx(0, 1)).toBe(1);
      await new Promise((resolve) => setTimeout(resolve, 20));
      expect(bindRx(sender)(BURST)).toBe(0);
    }
    // Protocol unreachable: ENOPROTOOPT. IPv6: unrecognized next header, EPROTO.
    const [errno, origin] = family === 4 ? [92, ICMP] : [71, ICMP6];
    const refused = { source: address, port: 0, errno, origin };
    expect(await rig.errors(errors, 3)).toMatchObject(Array(3).fill(refused));
    out.describe(0, [{ at: OUT_AT, len: 1481 }]);
    expect(tx(0, 1)).toBe(0);
    expect(out.columns.msgResult[0]).toBe(EMSGSIZE);
    const [tooLong] = await rig.errors(errors, 1);
    expect(tooLong).toMatchObject({ source: address, errno: 90, mtu: 1500, origin: LOCAL });
  });

  it('is given what the kernel merged as one packet, without its segment size', async () => {
    // IPIP with two segments of one TCP flow in it, each whole in itself: 1000 bytes of payload, checksums right.
    const script = `
import socket, struct
def fold(b):
  s = sum(struct.unpack('>%dH' % (len(b) // 2), b))
  while s >> 16: s = (s & 65535) + (s >> 16)
  return s
def segment(n):
  a = bytes.fromhex('0a0100010a010002')
  tcp = struct.pack('>HHIIBBHHH', 1000, 2000, 1 + 1000 * n, 7, 0x50, 0x10, 500, 0, 0) + bytes([65 + n]) * 1000
  sum = 65535 - fold(a + struct.pack('>HH', 6, len(tcp)) + tcp)
  tcp = tcp[:16] + struct.pack('>H', sum) + tcp[18:]
  ip = struct.pack('>BBHHHBBH', 0x45, 0, 20 + len(tcp), n + 1, 0x4000, 64, 6, 0) + a
  return ip[:10] + struct.pack('>H', 65535 - fold(ip)) + ip[12:] + tcp
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, 4)
for n in range(8): s.sendto(segment(n), ('${SIDES[1]}', 0))`;
    const rx = bindRx(open(1, { protocol: 4 }));
    // As a busy device does: what came waits for more. The kernel gives up at the next tick, so a sender that lost its CPU sends again.
    runIn(rig.names[1], 'sh', '-c', 'echo 300000000 > /sys/class/net/v0/gro_flush_timeout');
    const send = async () => {
      runIn(rig.names[0], 'python3', '-c', script);
      return rig.receive(rx, 8040);
    };
    let got = await send();
    for (let attempt = 1; attempt < 10 && got.length > 1; attempt++) got = await send();
    runIn(rig.names[1], 'sh', '-c', 'echo 0 > /sys/class/net/v0/gro_flush_timeout');
    // The header of the first with a length of 20 + 20 + 8000, and a checksum of 10.1.0.1, 10.1.0.2, 6 and 8020 alone.
    expect(got.map(({ bytes }) => bytes.length)).toEqual([8040]);
    const [{ bytes }] = got;
    expect(Buffer.from(bytes.subarray(0, 4)).toString('hex')).toBe('45001f68');
    expect(Buffer.from(bytes.subarray(24, 40)).toString('hex')).toBe('0000000100000007501001f4335f0000');
  });

  it('counts what its receive buffer lost', async () => {
    const { out, into } = rig;
    const receiver = open(1, { rcvbuf: 4096, rxqOvfl: true });
    const tx = bindTx(open(0));
    out.destination(0, SIDES[1], 0);
    out.place(OUT_AT, pattern(1000));
    for (let m = 0; m < 32; m++) out.describe(m, [{ at: OUT_AT, len: 1000 }]);
    const before = rig.arrivals(1);
    expect(tx(0, 32)).toBe(32);
    await rig.untilArrived(1, before + 32);
    const rx = bindRx(receiver);
    let arrived = 0;
    for (let n = rx(BURST); n > 0; n = rx(BURST)) arrived += n;
    expect(arrived).toBeGreaterThan(0);
    expect(arrived).toBeLessThan(32);
    expect(tx(0, 1)).toBe(1);
    await rig.receive(rx, 1000);
    expect(into.columns.counters[0]).toBe(32 - arrived);
  });
});

describeWith(['root', 'addon', 'ip', 'ethtool', 'tcpdump', 'tshark'], 'what raw sockets send', () => {
  afterAll(removeNamespaces);

  it('has the header that was asked for', async () => {
    const rig = openUdpRig('rawWire');
    const recording = await record(rig.names[1], 'v0', { direction: 'in', filter: 'proto 47 or ip6 proto 47' });
    const settings = { netns: rig.path(0), protocol: GRE, ttl: 7, tos: 0x48, sink: true } as const;
    const fds = [
      { ...settings, family: 4, address: SIDES[0], pmtudiscProbe: true } as const,
      { ...settings, family: 6, address: SIDES_V6[0], pmtudiscProbe: true } as const,
    ].map((request) => rig.addon.rawOpen(request).fd);
    const { out } = rig;
    const tx = rig.addon.bindUdpTx(out.arena, out.io, LAYOUT, fds, out.destinations);
    out.destination(0, SIDES[1], 0);
    out.destination(1, SIDES_V6[1], 0);
    // GRE without options (RFC 2784), protocol type 0x6558, and an Ethernet header's worth of zeros.
    const extent = out.place(OUT_AT, Uint8Array.from([0, 0, 0x65, 0x58, ...Array(14).fill(0)]));
    for (const m of [0, 1, 2, 3]) out.describe(m, [extent], { dest: m >> 1, socket: m >> 1, tos: m & 1 ? 0x2e : -1 });
    const receivers = [{ family: 4, address: SIDES[1] } as const, { family: 6, address: SIDES_V6[1] } as const].map(
      (request) => rig.addon.rawOpen({ netns: rig.path(1), protocol: GRE, ...request }).fd,
    );
    expect(tx(0, 4)).toBe(4);
    for (const fd of receivers) await rig.receive(rig.addon.bindRawRx(rig.into.arena, rig.into.io, LAYOUT, fd), 36);
    for (const fd of [...fds, ...receivers]) rig.addon.close(fd);
    const names = ['ip.ttl', 'ip.dsfield', 'ip.flags.df', 'ip.len', 'ip.checksum.status'] as const;
    const names6 = ['ipv6.hlim', 'ipv6.tclass', 'ipv6.plen', 'ipv6.nxt', 'gre.proto'] as const;
    const read = await readFields(await recording.stop(), [...names, ...names6]);
    const seen = read.map((fields) => [...names, ...names6].map((name) => fields[name][0] ?? ''));
    const True = expect.stringMatching(/^(1|True)$/);
    expect(seen).toEqual([
      ['7', '0x48', True, '38', '1', '', '', '', '', '0x6558'],
      ['7', '0x2e', True, '38', '1', '', '', '', '', '0x6558'],
      ['', '', '', '', '', '7', expect.stringMatching(/^0x0*48$/), '18', '47', '0x6558'],
      ['', '', '', '', '', '7', expect.stringMatching(/^0x0*2e$/), '18', '47', '0x6558'],
    ]);
  });
});
