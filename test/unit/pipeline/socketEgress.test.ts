import { describe, expect, it } from 'vitest';
import { ACK, arpRequest, CWR, FIN, join, noise, PSH, tcp, toHex, udp } from '../../rig/frames.js';
import type { SentMessage, VnetHeader } from '../../rig/kernel.js';
import { makeRig, network, PEER_A, PEER_B, peer, type Rig, type RigOptions, SOCKETS } from '../../rig/pipeline.js';
import { finishTransport, segmentTwin } from '../../rig/segmentTwin.js';

const VNI = 41;
/** Station 9 is behind peer A, 8 behind peer B, 1 to 3 are local. */
function socketRig(rest: Partial<RigOptions> = {}): Rig {
  const rig = makeRig({
    ports: { a: { id: 1, network: 1, kind: 'tap', vnetHdrLen: 12, offloads: 7 } },
    peers: [peer(1, 1, PEER_A), peer(2, 1, PEER_B, { udpPort: 8472 })],
    ...rest,
  });
  rig.fromPeer(PEER_A, VNI, udp({ src: 9, dst: 1, payload: 1 }));
  rig.fromPeer(PEER_B, VNI, udp({ src: 8, dst: 1, payload: 1 }));
  rig.delivered();
  rig.kernel.sent.length = 0;
  return rig;
}

function send(rig: Rig, frames: Uint8Array | Uint8Array[], vnet?: Partial<VnetHeader>): SentMessage[] {
  rig.from('a', frames, vnet);
  return rig.kernel.sent.splice(0);
}

const header = '0800000000002900';
const gso4 = (gsoSize: number) => ({ flags: 1, gsoType: 1, gsoSize, csumStart: 34, csumOffset: 16 });
const gso6 = (gsoSize: number) => ({ flags: 1, gsoType: 4, gsoSize, csumStart: 54, csumOffset: 16 });
const to9 = (payload: number, sport = 1, tos = 0) => udp({ src: 1, dst: 9, payload, sport, tos });

describe('a frame for a peer', () => {
  it('goes as one datagram: VXLAN header and frame, to its address and port', () => {
    const rig = socketRig();
    const [m, ...more] = send(rig, to9(100));
    expect(more).toEqual([]);
    expect(m).toMatchObject({ dest: 1, address: PEER_A, port: 4789, gso: 0, tos: -1 });
    expect(toHex(m.bytes)).toBe(toHex(join(header, to9(100))));
    const [other] = send(rig, udp({ src: 1, dst: 8, payload: 5 }));
    expect(other).toMatchObject({ dest: 2, address: PEER_B, port: 8472 });
    expect(rig.row('peer', 1)).toMatchObject({ txPackets: 1, txBytes: 142 });
    expect(rig.row('underlay', SOCKETS)).toMatchObject({ txPackets: 2, txBytes: 142 + 47 });
  });

  it('has its checksum finished: a tunnel carries no offloads', () => {
    const rig = socketRig();
    const frame = udp({ src: 1, dst: 9, payload: 100, checksum: 'unfinished' });
    const [m] = send(rig, frame, { flags: 1, csumStart: 34, csumOffset: 6 });
    expect(m.bytes.slice(8)).toEqual(finishTransport(frame));
  });

  it('has the VNI of its own network', () => {
    const rig = socketRig({
      ports: { a: { id: 1, network: 1 }, b: { id: 2, network: 2 } },
      networks: [network(1), network(2, { vni: 0xfedcba })],
      peers: [peer(1, 1, PEER_A), peer(2, 1, PEER_B), peer(3, 2, PEER_A)],
    });
    rig.from('b', arpRequest(1));
    expect(toHex(rig.kernel.sent[0].bytes.slice(0, 8))).toBe('08000000fedcba00');
  });
});

describe('runs of equal datagrams of a flow', () => {
  const sizes = (messages: SentMessage[]) => messages.map((m) => m.datagrams.map((d) => d.length));

  it('share a message, and are cut by the kernel into what they were', () => {
    const rig = socketRig();
    const frames = Array.from({ length: 10 }, (_, n) => tcp({ src: 1, dst: 9, payload: 500, seq: n * 500 }));
    const [m, ...more] = send(rig, frames);
    expect(more).toEqual([]);
    expect(m.gso).toBe(8 + 554);
    expect(m.datagrams).toEqual(frames.map((f) => join(header, f)));
  });

  it('end with a shorter one, and do not take a longer one', () => {
    const rig = socketRig();
    const wire = (n: number) => n + 8 + 42;
    expect(
      sizes(
        send(
          rig,
          [100, 100, 60, 100, 100].map((n) => to9(n)),
        ),
      ),
    ).toEqual([
      [wire(100), wire(100), wire(60)],
      [wire(100), wire(100)],
    ]);
    expect(
      sizes(
        send(
          rig,
          [60, 100, 100].map((n) => to9(n)),
        ),
      ),
    ).toEqual([[wire(60)], [wire(100), wire(100)]]);
  });

  it('hold 63 datagrams and 65,000 bytes at most', () => {
    const rig = socketRig();
    const short = send(
      rig,
      Array.from({ length: 64 }, () => to9(10)),
    );
    expect(short.map((m) => m.datagrams.length)).toEqual([63, 1]);
    const long = send(
      rig,
      Array.from({ length: 64 }, () => to9(1400)),
    );
    expect(long.map((m) => m.bytes.length).every((n) => n <= 65_000)).toBe(true);
    expect(long.map((m) => m.datagrams.length)).toEqual([44, 20]);
  });

  it('are of one peer, one source port and one mark', () => {
    const rig = socketRig({ underlay: { dscp: -1 }, sockets: 64 });
    const dests = send(rig, [to9(50), udp({ src: 1, dst: 8, payload: 50, sport: 1 }), to9(50)]).map((m) => m.dest);
    expect(dests).toEqual([1, 2]);
    expect(send(rig, [to9(50, 1, 0x20), to9(50, 1, 0x40), to9(50, 1, 0x40)]).map((m) => m.tos)).toEqual([0x20, 0x40]);
    const flows = send(
      rig,
      Array.from({ length: 60 }, (_, n) => to9(50, n)),
    );
    for (const m of flows) expect(new Set(m.datagrams.map((d) => rigSocket(rig, d)))).toEqual(new Set([m.socket]));
  });

  it('come together where flows alternate, each in its order', () => {
    const rig = socketRig({ sockets: 16 });
    const frames = Array.from({ length: 60 }, (_, n) =>
      udp({ src: 1, dst: 9, sport: n % 6, payload: noise(50, n + 1) }),
    );
    const messages = send(rig, frames);
    expect(messages.length).toBeLessThanOrEqual(6);
    const sent = messages.flatMap((m) => m.datagrams.map((d) => toHex(d.slice(8))));
    for (let flow = 0; flow < 6; flow++) {
      const ofFlow = frames.filter((_, n) => n % 6 === flow).map(toHex);
      expect(sent.filter((d) => ofFlow.includes(d))).toEqual(ofFlow);
    }
    expect(sent).toHaveLength(60);
  });

  /** The socket that a datagram's frame takes when it is sent alone. */
  function rigSocket(rig: Rig, datagram: Uint8Array): number {
    return send(rig, datagram.slice(8))[0].socket;
  }

  it('are single messages where the kernel cannot cut', () => {
    const rig = socketRig({ segment: false });
    const messages = send(rig, [to9(50), to9(50), to9(50)]);
    expect(messages.map((m) => [m.gso, m.datagrams.length])).toEqual([
      [0, 1],
      [0, 1],
      [0, 1],
    ]);
    const cut = send(rig, tcp({ src: 1, dst: 9, payload: 3000, checksum: 'unfinished' }), gso4(1000));
    expect(cut.map((m) => [m.gso, m.bytes.length])).toEqual([
      [0, 1062],
      [0, 1062],
      [0, 1062],
    ]);
  });
});

describe('the source port', () => {
  it('belongs to the flow: one socket, whatever the packet', () => {
    const rig = socketRig({ sockets: 16 });
    const sockets = [
      tcp({ src: 1, dst: 9, payload: 5 }),
      tcp({ src: 1, dst: 9, payload: 900, seq: 77, tos: 2, flags: ACK | PSH }),
      tcp({ src: 1, dst: 9, payload: 0, id: 9, ttl: 3, flags: ACK | FIN }),
    ].map((f) => send(rig, f)[0].socket);
    expect(new Set(sockets).size).toBe(1);
    const superframe = tcp({ src: 1, dst: 9, payload: 5000, checksum: 'unfinished' });
    for (const m of send(rig, superframe, gso4(1000))) expect(m.socket).toBe(sockets[0]);
  });

  it('is one of all sockets, and spreads flows over them', () => {
    for (const count of [1, 3, 8, 64]) {
      const rig = socketRig({ sockets: count });
      const used = new Set<number>();
      for (let sport = 0; sport < count * 20; sport++) used.add(send(rig, to9(5, sport))[0].socket);
      expect(Math.min(...used)).toBeGreaterThanOrEqual(0);
      expect(Math.max(...used)).toBeLessThan(count);
      expect(used.size).toBe(count);
    }
  });
});

describe('the outer TOS (RFC 6040 section 4.1)', () => {
  it.each([
    // A socket has the underlay's DSCP anyway; a message says a TOS only where congestion bits are to be copied.
    [0, 0, -1],
    [0, (46 << 2) | 2, 2],
    [0, 46 << 2, -1],
    [10, 3, (10 << 2) | 3],
    [10, 1, (10 << 2) | 1],
    [-1, 0, 0],
    [-1, (46 << 2) | 2, (46 << 2) | 2],
    [-1, 0xff, 0xff],
  ])('with DSCP %i and an inner TOS of %i is %i', (dscp, inner, outer) => {
    const rig = socketRig({ underlay: { dscp } });
    for (const family of [4, 6] as const) {
      expect(send(rig, udp({ family, src: 1, dst: 9, payload: 5, tos: inner }))[0].tos).toBe(outer);
      const frame = tcp({ family, src: 1, dst: 9, payload: 2500, tos: inner, checksum: 'unfinished' });
      const tos = send(rig, frame, family === 4 ? gso4(1000) : gso6(1000)).map((m) => m.tos);
      expect(new Set(tos)).toEqual(new Set([outer]));
    }
  });

  it('of what is not IP is none', () => {
    expect(send(socketRig({ underlay: { dscp: -1 } }), arpRequest(1)).map((m) => m.tos)).toEqual([0, 0]);
  });
});

describe('a superframe', () => {
  it.each<[string, 4 | 6, number, number, object]>([
    ['IPv4', 4, 60_000, 1400, {}],
    ['IPv6', 6, 60_000, 1380, {}],
    ['tags and options', 4, 30_000, 1388, { tags: [[0x8100, 9]], tcpOptions: [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2] }],
    ['small segments', 4, 20_000, 100, {}],
    ['FIN, PSH and CWR', 4, 4000, 1000, { flags: ACK | FIN | PSH | CWR }],
    ['a last segment of one byte', 6, 2001, 1000, {}],
    ['a full last segment', 4, 2000, 1000, {}],
  ])('of %s is cut, and its segments share messages', (_name, family, payload, mss, fields) => {
    const rig = socketRig();
    const frame = tcp({ family, src: 1, dst: 9, payload, checksum: 'unfinished', ...fields });
    const tagged = 'tags' in fields ? 4 : 0;
    const gso = family === 4 ? gso4(mss) : gso6(mss);
    const messages = send(rig, frame, { ...gso, csumStart: gso.csumStart + tagged });
    const segments = segmentTwin(frame, mss);
    expect(messages.flatMap((m) => m.datagrams)).toEqual(segments.map((s) => join(header, s)));
    for (const m of messages) {
      expect(m.bytes.length).toBeLessThanOrEqual(65_000);
      expect(m.datagrams.length).toBeLessThanOrEqual(63);
      expect(m.gso).toBe(m.datagrams.length > 1 ? segments[0].length + 8 : 0);
    }
    // No message is smaller than it need be.
    const perMessage = Math.min(63, Math.floor(65_000 / (segments[0].length + 8)));
    expect(messages.length).toBe(Math.ceil(segments.length / perMessage));
    expect(rig.row('peer', 1)).toMatchObject({ txPackets: segments.length });
    expect(rig.row('underlay', SOCKETS)).toMatchObject({ txPackets: segments.length });
  });

  it('does not share a message with the frame before or behind it', () => {
    const rig = socketRig();
    const frame = tcp({ src: 1, dst: 9, payload: 2000, checksum: 'unfinished' });
    const plain = tcp({ src: 1, dst: 9, payload: 1000 });
    rig.kernel.frames(1001, { frame: plain }, { frame, vnet: gso4(1000) }, { frame: plain });
    rig.serve('a');
    expect(rig.kernel.sent.splice(0).map((m) => m.datagrams.length)).toEqual([1, 2, 1]);
  });

  it('more than the outbox holds goes in several flushes, and every segment once', () => {
    const rig = socketRig();
    // 8 superframes of 1765 segments; the outbox has room for 2048 messages and 512 KiB of headers.
    const frames = Array.from({ length: 8 }, (_, n) =>
      tcp({ src: 1, dst: 9, sport: n, payload: 60_000, checksum: 'unfinished' }),
    );
    const messages = send(rig, frames, gso4(34));
    const datagrams = messages.flatMap((m) => m.datagrams);
    expect(datagrams).toHaveLength(8 * 1765);
    const wanted = frames.flatMap((f) => segmentTwin(f, 34).map((s) => toHex(join(header, s))));
    expect(datagrams.map(toHex).sort()).toEqual(wanted.sort());
    expect(rig.row('peer', 1).txPackets).toBe(8 * 1765);
  });
});

describe('header blocks', () => {
  it('of the longest kind stay inside of their region, however many there are', () => {
    const rig = socketRig();
    const fields = { options: new Uint8Array(40).fill(1), tcpOptions: new Uint8Array(40).fill(1) };
    const tags: [number, number][] = [
      [0x88a8, 1],
      [0x8100, 2],
    ];
    // 192 bytes a block, and room for 2730 of them.
    const frames = [1, 2, 3].map((sport) =>
      tcp({ src: 1, dst: 9, sport, payload: 51_000, tags, ...fields, checksum: 'unfinished' }),
    );
    const messages = send(rig, frames, { ...gso4(34), csumStart: 14 + 8 + 60 });
    const wanted = frames.flatMap((f) => segmentTwin(f, 34).map((s) => toHex(join(header, s))));
    expect(messages.flatMap((m) => m.datagrams).map(toHex)).toEqual(wanted);
  });
});

describe('the MTU of the network', () => {
  it('judges the packet behind Ethernet and tags, a superframe by its segments', () => {
    const rig = socketRig({ networks: [network(1, { mtu: 1000 })] });
    const of = (total: number, rest = {}) => udp({ src: 1, dst: 9, payload: total - 28, ...rest });
    expect(send(rig, [of(1000), of(1000, { tags: [[0x8100, 1]] })]).flatMap((m) => m.datagrams)).toHaveLength(2);
    expect(send(rig, [of(1001), of(1001, { tags: [[0x8100, 1]] })])).toEqual([]);
    expect(rig.row('peer', 1).drops).toEqual({ 'too-big': 2 });
    const superframe = tcp({ src: 1, dst: 9, payload: 9000, checksum: 'unfinished' });
    expect(send(rig, superframe, gso4(960)).flatMap((m) => m.datagrams)).toHaveLength(10);
    expect(send(rig, superframe, gso4(961))).toEqual([]);
    expect(rig.row('peer', 1).drops).toEqual({ 'too-big': 2 + 10 });
  });
});

describe('what the kernel refuses', () => {
  it('is counted at the peer by its packets, with the errno', () => {
    const rig = socketRig();
    rig.kernel.refuse = (_fd, m) => [undefined, -11, -90][m];
    const frames = [to9(40), udp({ src: 1, dst: 8, payload: 100 }), to9(50), to9(50)];
    expect(send(rig, frames)).toHaveLength(1);
    expect(rig.row('peer', 1)).toMatchObject({ txPackets: 1, drops: { 'tx-full': 2 }, lastErrno: 11 });
    expect(rig.row('peer', 2)).toMatchObject({ txPackets: 0, drops: { 'tx-too-big': 1 }, lastErrno: 90 });
    expect(rig.row('underlay', SOCKETS)).toMatchObject({ txPackets: 1, drops: {} });
  });
});

describe('a flooded frame', () => {
  it('goes to every peer of its network, once', () => {
    const rig = socketRig();
    const frames = [arpRequest(1), udp({ src: 1, dst: 77, payload: 20 })];
    const messages = send(rig, frames);
    const to = (address: string) => messages.filter((m) => m.address === address).flatMap((m) => m.datagrams);
    for (const address of [PEER_A, PEER_B]) expect(to(address)).toEqual(frames.map((f) => join(header, f)));
    expect(rig.row('port', 1).copied).toBe(2);
  });

  it('may be a superframe', () => {
    const rig = socketRig();
    const frame = tcp({ src: 1, dst: 77, payload: 5000, checksum: 'unfinished' });
    const segments = segmentTwin(frame, 1000).map((s) => join(header, s));
    const messages = send(rig, frame, gso4(1000));
    expect(messages.map((m) => m.address)).toEqual([PEER_A, PEER_B]);
    for (const m of messages) expect(m.datagrams).toEqual(segments);
    expect(rig.row('port', 1).copied).toBe(5);
  });
});
