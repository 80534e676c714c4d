import { describe, expect, it } from 'vitest';
import { forgetMacs } from '../../../src/worker/macRows.js';
import {
  forgetNeighbours,
  installNeighbours,
  limitNeighbours,
  readNeighbours,
} from '../../../src/worker/neighbourRows.js';
import { BROADCAST, ethernet, join, stationMac, stationV4, toHex, udp } from '../../rig/frames.js';
import {
  advertise,
  arp,
  gratuitous,
  icmpv6,
  linkLocal,
  NOBODY,
  OVERRIDE,
  ROUTER,
  SOLICITED,
  solicit,
  UNSPECIFIED,
} from '../../rig/neighbours.js';
import { makeRig, network, PEER_A, PEER_B, passSeconds, peer, type Rig, type RigOptions } from '../../rig/pipeline.js';

const VNI = 41;
const suppressing = (rest: Partial<Parameters<typeof network>[1]> = {}) => network(1, { neighbourLimit: 100, ...rest });

/** Two ports, two peers; nothing is known yet. */
function lab(rest: Partial<RigOptions> = {}): Rig {
  return makeRig({
    ports: { a: { id: 1, network: 1 }, b: { id: 2, network: 1 } },
    networks: [suppressing()],
    peers: [peer(1, 1, PEER_A), peer(2, 1, PEER_B)],
    ...rest,
  });
}

/** Who got something: ports by name, peers by address. */
function got(rig: Rig): string[] {
  const ports = rig.delivered().map((d) => d.port);
  return [...ports, ...rig.kernel.sent.splice(0).flatMap((m) => m.datagrams.map(() => m.address))];
}

/** What port `name` got, while nobody else got anything. */
function onlyTo(rig: Rig, name: string): string[] {
  const frames = rig.took(name).map(toHex);
  expect(got(rig)).toEqual([]);
  return frames;
}

const FROM_A = ['b', PEER_A, PEER_B];
const known = (rig: Rig) =>
  readNeighbours(rig.pipeline.neighbours, rig.clock.seconds)
    .map((n) => `${n.address} ${n.mac}`)
    .sort();

/** Station 1 behind port a and station 9 behind the first peer have met. */
function met(rest: Partial<RigOptions> = {}): Rig {
  const rig = lab(rest);
  rig.from('a', arp({ tpa: 9 }));
  expect(got(rig)).toEqual(FROM_A);
  rig.fromPeer(PEER_A, VNI, arp({ operation: 2, sha: 9, spa: 9, tha: 1, tpa: 1 }));
  expect(got(rig)).toEqual(['a']);
  return rig;
}

describe('an ARP request', () => {
  it('for a station that was silent for a while goes to it: it may be another one by now', () => {
    const rig = met();
    passSeconds(rig, 10);
    rig.from('a', arp({ tpa: 9 }));
    expect(onlyTo(rig, 'a')).toHaveLength(1);
    passSeconds(rig, 1);
    rig.from('a', arp({ tpa: 9 }));
    expect(got(rig)).toEqual(FROM_A);
    // Started again, with another MAC: the next one gets that.
    rig.fromPeer(PEER_A, VNI, arp({ operation: 2, sha: 8, spa: 9, tha: 1, tpa: 1 }));
    expect(got(rig)).toEqual(['a']);
    rig.from('a', arp({ tpa: 9 }));
    expect(onlyTo(rig, 'a')[0]).toMatch(/^020000000001020000000008/);
    // Whatever it sends shows that it is there.
    passSeconds(rig, 9);
    rig.fromPeer(PEER_A, VNI, udp({ src: 8, dst: 1, payload: 8 }));
    passSeconds(rig, 9);
    got(rig);
    rig.from('a', arp({ tpa: 9 }));
    expect(onlyTo(rig, 'a')).toHaveLength(1);
  });

  it('for an address that is known behind a peer is answered, byte for byte as the RFC has it', () => {
    const rig = met();
    const before = rig.row('port', 1);
    rig.from('a', arp({ tpa: 9 }));
    // To 02::1 from 02::9, ARP: reply, 02::9 has 10.0.0.9, for 02::1 with 10.0.0.1.
    const reply = `020000000001 020000000009 0806 0001 0800 06 04 0002
      020000000009 0a000009 020000000001 0a000001`;
    expect(onlyTo(rig, 'a')).toEqual([reply.replace(/\s+/g, '')]);
    const after = rig.row('port', 1);
    expect(after.made - before.made).toBe(1);
    expect(after.consumed - before.consumed).toBe(1);
    expect(after.txPackets - before.txPackets).toBe(1);
    expect(rig.drops()).toEqual({});
  });

  it('for an address that nobody has claimed is flooded', () => {
    const rig = met();
    rig.from('a', arp({ tpa: 77 }));
    expect(got(rig)).toEqual(FROM_A);
  });

  it('is answered for a station behind another port, and not for one behind the same', () => {
    const rig = met();
    rig.from('b', gratuitous(2));
    rig.from('a', gratuitous(3));
    got(rig);
    rig.from('a', arp({ tpa: 2 }));
    expect(onlyTo(rig, 'a')).toHaveLength(1);
    rig.from('a', arp({ tpa: 3 }));
    expect(got(rig)).toEqual(FROM_A);
  });

  it('of somebody new is flooded once, so that everybody hears of the asker', () => {
    const rig = met();
    rig.from('b', arp({ sha: 4, spa: 4, tpa: 9 }));
    expect(got(rig)).toEqual(['a', PEER_A, PEER_B]);
    rig.from('b', arp({ sha: 4, spa: 4, tpa: 9 }));
    expect(onlyTo(rig, 'b')).toHaveLength(1);
  });

  it('of somebody with another MAC, or at another place, is flooded', () => {
    const rig = met();
    rig.from('a', arp({ sha: 5, spa: 1, tpa: 9 }));
    expect(got(rig)).toEqual(FROM_A);
    rig.from('b', arp({ sha: 5, spa: 1, tpa: 9 }));
    expect(got(rig)).toEqual(['a', PEER_A, PEER_B]);
    rig.from('b', arp({ sha: 5, spa: 1, tpa: 9 }));
    expect(onlyTo(rig, 'b')).toHaveLength(1);
  });

  it('out of a tunnel is never answered', () => {
    const rig = met();
    rig.fromPeer(PEER_B, VNI, arp({ sha: 8, spa: 8, tpa: 9 }));
    got(rig);
    rig.fromPeer(PEER_B, VNI, [arp({ sha: 8, spa: 8, tpa: 9 }), arp({ sha: 8, spa: 8, tpa: 1 })]);
    expect(got(rig)).toEqual(['a', 'a', 'b', 'b']);
  });

  it('to one station asks whether it is there, and goes there', () => {
    const rig = met();
    rig.from('a', arp({ tpa: 9, dst: 9 }));
    expect(got(rig)).toEqual([PEER_A]);
  });

  it('that probes (RFC 5227), announces, or asks for the own address is flooded', () => {
    const rig = met();
    for (const frame of [
      arp({ spa: NOBODY, tpa: 9 }),
      arp({ spa: NOBODY, tpa: 1 }),
      gratuitous(1),
      gratuitous(1, 1, 2),
    ]) {
      rig.from('a', frame);
      expect(got(rig)).toEqual(FROM_A);
    }
    expect(known(rig)).toEqual(['10.0.0.1 02:00:00:00:00:01', '10.0.0.9 02:00:00:00:00:09']);
  });

  it('is answered with its priority tag, and not within a VLAN', () => {
    const rig = met();
    rig.from('a', arp({ tpa: 9, tags: [[0x8100, 0xe000]] }));
    const [frame] = onlyTo(rig, 'a');
    expect(frame.slice(0, 44)).toBe('0200000000010200000000098100e00008060001080006040002'.slice(0, 44));
    expect(frame).toHaveLength((42 + 4) * 2);
    rig.from('a', arp({ tpa: 9, tags: [[0x8100, 5]] }));
    expect(got(rig)).toEqual(FROM_A);
    rig.from('a', arp({ sha: 6, spa: 6, tpa: 9, tags: [[0x8100, 5]] }));
    rig.from(
      'a',
      arp({
        sha: 6,
        spa: 6,
        tpa: 9,
        tags: [
          [0x88a8, 0],
          [0x8100, 5],
        ],
      }),
    );
    expect(known(rig)).not.toContain('10.0.0.6 02:00:00:00:00:06');
  });

  it('is answered in the middle of a burst of others', () => {
    const rig = met();
    rig.fromPeer(PEER_A, VNI, udp({ src: 9, dst: 1, payload: 5 }));
    got(rig);
    const data = udp({ src: 1, dst: 9, payload: 20 });
    rig.from('a', [data, arp({ tpa: 9 }), data, arp({ tpa: 77 }), arp({ tpa: 9 })]);
    expect(got(rig).sort()).toEqual([PEER_A, PEER_A, PEER_A, PEER_B, 'a', 'a', 'b']);
  });

  it('is answered to a TAP with an empty virtio-net header', () => {
    const rig = met({
      ports: { a: { id: 1, network: 1, kind: 'tap', vnetHdrLen: 12 }, b: { id: 2, network: 1 } },
    });
    rig.from('a', arp({ tpa: 9 }));
    const [d] = rig.delivered();
    expect(toHex(d.frame).slice(0, 24)).toBe('020000000001020000000009');
    expect(d.vnet).toMatchObject({ flags: 0, gsoType: 0 });
  });

  it('is not answered where the network is not to', () => {
    const rig = lab({ networks: [network(1)] });
    for (let n = 0; n < 3; n++) {
      rig.from('a', gratuitous(1));
      rig.fromPeer(PEER_A, VNI, gratuitous(9));
      got(rig);
      rig.from('a', arp({ tpa: 9 }));
      expect(got(rig)).toEqual(FROM_A);
    }
    expect(known(rig)).toEqual([]);
  });
});

describe('what is known', () => {
  it('is the latest that was said: gratuitous ARP counts', () => {
    const rig = met();
    rig.fromPeer(PEER_A, VNI, gratuitous(9, 0x1009));
    expect(got(rig)).toEqual(['a', 'b']);
    rig.from('a', arp({ tpa: 9 }));
    expect(onlyTo(rig, 'a')[0].slice(12, 24)).toBe('020000001009');
  });

  it('is known no more when its MAC has moved, until it claims the address again', () => {
    const rig = met();
    rig.fromPeer(PEER_B, VNI, udp({ src: 9, dst: 1, payload: 5 }));
    got(rig);
    rig.from('a', arp({ tpa: 9 }));
    expect(got(rig)).toEqual(FROM_A);
    rig.fromPeer(PEER_B, VNI, arp({ operation: 2, sha: 9, spa: 9, tha: 1, tpa: 1 }));
    got(rig);
    rig.from('a', arp({ tpa: 9 }));
    expect(onlyTo(rig, 'a')).toHaveLength(1);
  });

  it('ages as MACs do', () => {
    const rig = met();
    passSeconds(rig, 299);
    rig.fromPeer(PEER_A, VNI, udp({ src: 9, dst: 1, payload: 5 }));
    rig.from('a', arp({ tpa: 9 }));
    expect(got(rig)).toEqual(['a', 'a']);
    passSeconds(rig, 1);
    rig.from('a', arp({ tpa: 9 }));
    expect(got(rig)).toEqual(FROM_A);
    expect(known(rig)).toEqual(['10.0.0.1 02:00:00:00:00:01']);
  });

  it('is worth nothing without its MAC', () => {
    const rig = met();
    forgetMacs(rig.pipeline.macTable, { peer: 1 });
    rig.from('a', arp({ tpa: 9 }));
    expect(got(rig)).toEqual(FROM_A);
  });

  it('is forgotten with its peer', () => {
    const rig = met();
    expect(forgetNeighbours(rig.pipeline.neighbours, { peer: 1 })).toBe(1);
    expect(forgetNeighbours(rig.pipeline.neighbours, { peer: 1 })).toBe(0);
    expect(known(rig)).toEqual(['10.0.0.1 02:00:00:00:00:01']);
  });

  it('is forgotten when its network is to answer no more', () => {
    const rig = met();
    limitNeighbours(rig.pipeline.neighbours, [suppressing({ neighbourLimit: 1 })]);
    expect(known(rig)).toHaveLength(2);
    limitNeighbours(rig.pipeline.neighbours, [suppressing({ neighbourLimit: 0 })]);
    expect(known(rig)).toEqual([]);
  });

  it('belongs to its network', () => {
    const rig = lab({
      ports: { a: { id: 1, network: 1 }, b: { id: 2, network: 1 }, other: { id: 3, network: 2 } },
      networks: [suppressing(), network(2, { neighbourLimit: 100 })],
      peers: [peer(1, 1, PEER_A), peer(2, 2, PEER_A)],
    });
    rig.fromPeer(PEER_A, VNI, gratuitous(9));
    rig.from('other', gratuitous(1));
    got(rig);
    rig.from('other', arp({ tpa: 9 }));
    expect(got(rig)).toEqual([PEER_A]);
  });

  it('is no more than the limit', () => {
    const rig = lab({ networks: [suppressing({ neighbourLimit: 5 })] });
    rig.fromPeer(
      PEER_A,
      VNI,
      Array.from({ length: 200 }, (_, n) => gratuitous(300 + n)),
    );
    expect(known(rig)).toHaveLength(5);
    passSeconds(rig, 301);
    for (let n = 0; n < 2; n++) rig.pipeline.tick();
    rig.fromPeer(PEER_A, VNI, gratuitous(9));
    expect(known(rig)).toEqual(['10.0.0.9 02:00:00:00:00:09']);
  });

  it('comes from a bridged network as well, whose requests are relayed', () => {
    const rig = makeRig({
      ports: { a: { id: 1, network: 1 } },
      networks: [suppressing(), network(2, { domain: 1, neighbourLimit: 100 })],
      peers: [peer(1, 1, PEER_A), peer(2, 2, PEER_B)],
    });
    rig.from('a', gratuitous(1));
    rig.fromPeer(PEER_B, 42, gratuitous(9));
    got(rig);
    rig.from('a', arp({ tpa: 9 }));
    expect(onlyTo(rig, 'a')).toHaveLength(1);
    rig.fromPeer(PEER_A, VNI, [gratuitous(8), arp({ sha: 8, spa: 8, tpa: 9 })]);
    expect(got(rig)).toEqual(['a', 'a', PEER_B, PEER_B]);
  });
});

describe('a static neighbour', () => {
  const statics = [{ network: 1, address: '10.0.0.5', mac: '02:00:00:00:00:05', isRouter: false }];
  const withStatic = () => {
    const rig = met();
    installNeighbours(rig.pipeline.neighbours, statics);
    return rig;
  };

  it('is answered for before anybody has heard of it', () => {
    const rig = withStatic();
    rig.from('a', arp({ tpa: 5 }));
    expect(onlyTo(rig, 'a')[0].slice(12, 24)).toBe('020000000005');
  });

  it('is not answered for to its own side', () => {
    const rig = withStatic();
    rig.from('a', gratuitous(5));
    got(rig);
    rig.from('a', arp({ tpa: 5 }));
    expect(got(rig)).toEqual(FROM_A);
  });

  it('cannot be poisoned, from a port or from a peer, asking, answering or announcing', () => {
    const rig = withStatic();
    rig.from('b', gratuitous(2));
    got(rig);
    const evil = 66;
    const claims = [
      arp({ sha: evil, spa: 5, tpa: 9 }),
      arp({ operation: 2, sha: evil, spa: 5, tha: 2, tpa: 2 }),
      gratuitous(5, evil),
      gratuitous(5, evil, 2),
      // Also with a group address, with another sender's MAC in front, and with a priority tag.
      arp({ sha: BROADCAST, spa: 5, tpa: 1, src: evil }),
      arp({ sha: evil, spa: 5, tpa: 1, src: 1 }),
      arp({ sha: evil, spa: 5, tpa: 1, tags: [[0x8100, 0x2000]] }),
    ];
    rig.from('a', claims);
    rig.fromPeer(PEER_A, VNI, claims);
    expect(got(rig)).toEqual([]);
    expect(rig.drops()).toEqual({ 'static-neighbour': 14 });
    expect(rig.row('port', 1).drops).toEqual({ 'static-neighbour': 7 });
    expect(rig.row('peer', 1).drops).toEqual({ 'static-neighbour': 7 });
    expect(known(rig)).toContain('10.0.0.5 02:00:00:00:00:05');
    rig.from('b', arp({ sha: 2, spa: 2, tpa: 5 }));
    expect(onlyTo(rig, 'b')[0].slice(12, 24)).toBe('020000000005');
  });

  it('cannot be poisoned by a checksum that the receiver is asked to finish', () => {
    const rig = withStatic();
    // The sum of the last two bytes goes into the sender's address: 10.0.x.y becomes 10.0.0.5.
    const frame = arp({ sha: 66, spa: [10, 0, 9, 9], tpa: 9, trailer: 0 });
    const padded = join(frame, 0xff, 0xfa);
    rig.from('a', padded, { flags: 1, csumStart: 42, csumOffset: 0 });
    expect(known(rig)).toContain('10.0.9.9 02:00:00:00:00:42');
    const forged = join(frame.slice(0, 14), frame.slice(14), 0xff, 0xfa);
    rig.from('a', forged, { flags: 1, csumStart: 14, csumOffset: 16 });
    expect(known(rig)).toContain('10.0.0.5 02:00:00:00:00:05');
  });

  it('with its own MAC is free to talk', () => {
    const rig = withStatic();
    rig.fromPeer(PEER_B, VNI, [gratuitous(5), arp({ sha: 5, spa: 5, tpa: 1 })]);
    expect(got(rig)).toEqual(['a', 'a', 'b', 'b']);
    expect(rig.drops()).toEqual({});
    const [entry] = readNeighbours(rig.pipeline.neighbours, 1).filter((n) => n.isStatic);
    expect(entry).toMatchObject({ address: '10.0.0.5', peer: 2, port: 0, isStatic: true });
    // A change that leaves it as it is leaves it where it is.
    installNeighbours(rig.pipeline.neighbours, statics);
    expect(readNeighbours(rig.pipeline.neighbours, 1)).toContainEqual(entry);
    installNeighbours(rig.pipeline.neighbours, []);
    expect(known(rig).some((n) => n.startsWith('10.0.0.5'))).toBe(false);
  });

  it('of IPv6 cannot be poisoned by any message of neighbour discovery', () => {
    const rig = met();
    installNeighbours(rig.pipeline.neighbours, [
      { network: 1, address: 'fe80::5', mac: '02:00:00:00:00:05', isRouter: true },
    ]);
    rig.from('b', gratuitous(2));
    got(rig);
    const evil = 66;
    const redirect = (target: number, mac: number) =>
      icmpv6(
        { src: evil, ipSrc: 7, ipDst: 2, dst: 2 },
        137,
        join('00000000', linkLocal(target), linkLocal(target), 2, 1, stationMac(mac)),
      );
    const hopByHop = { first: 0, bytes: join(58, 0, 1, 4, 0, 0, 0, 0) };
    const claims = [
      advertise({ src: evil, target: 5 }),
      advertise({ src: evil, target: 5, ipDst: 2, flags: SOLICITED | OVERRIDE }),
      advertise({ src: evil, target: 5, flags: 0 }),
      advertise({ src: evil, target: 5, extensions: hopByHop }),
      solicit({ src: evil, ipSrc: 5, target: 1 }),
      icmpv6({ src: evil, ipSrc: 5, ipDst: linkLocal(2), dst: 2 }, 133, join('00000000', 1, 1, stationMac(evil))),
      icmpv6({ src: evil, ipSrc: 5 }, 134, join('40 00 0708 00000000 00000000', 1, 1, stationMac(evil))),
      redirect(5, evil),
      // The truth and a lie: receivers differ in which of the two they take.
      ...[
        [5, evil],
        [evil, 5],
      ].map(([one, two]) =>
        icmpv6(
          { src: evil, ipSrc: 7 },
          136,
          join('20000000', linkLocal(5), 2, 1, stationMac(one), 2, 1, stationMac(two)),
        ),
      ),
      icmpv6({ src: evil, ipSrc: 7 }, 136, join('20000000', linkLocal(5), 2, 2, stationMac(5), '0000000000000000')),
      // Nine options in front of the lie.
      icmpv6(
        { src: evil, ipSrc: 7 },
        136,
        join('20000000', linkLocal(5), '0e01000000000000'.repeat(9), 2, 1, stationMac(evil)),
      ),
    ];
    for (const frame of claims) rig.from('a', frame);
    expect(got(rig)).toEqual([]);
    expect(rig.drops()).toEqual({ 'static-neighbour': claims.length });
    expect(known(rig)).toContain('fe80::5 02:00:00:00:00:05');
    // A redirect about others is no claim of theirs.
    rig.from('a', redirect(6, 6));
    expect(rig.drops()).toEqual({ 'static-neighbour': claims.length });
    expect(known(rig)).not.toContain('fe80::6 02:00:00:00:00:06');
  });
});

/** Station 1 and station 9 behind the first peer know each other by IPv6. */
function met6(flags = OVERRIDE): Rig {
  const rig = lab();
  rig.from('a', solicit({ src: 1, target: 9 }));
  expect(got(rig)).toEqual(FROM_A);
  rig.fromPeer(PEER_A, VNI, advertise({ src: 9, ipDst: 1, dst: 1, flags: flags | SOLICITED }));
  expect(got(rig)).toEqual(['a']);
  return rig;
}

describe('a neighbour solicitation', () => {
  it.each([
    ['a host', OVERRIDE, '60000000'],
    ['a router', OVERRIDE | ROUTER, 'e0000000'],
    ['an anycast address', 0, '40000000'],
  ])('for %s behind a peer is answered, byte for byte as the RFC has it', (_, flags, body) => {
    const rig = met6(flags);
    rig.from('a', solicit({ src: 1, target: 9 }));
    const frame = advertise({ src: 9, ipDst: 1, dst: 1, flags: Number.parseInt(body.slice(0, 2), 16) });
    expect(onlyTo(rig, 'a')).toEqual([toHex(frame)]);
    // And by hand, but for the checksum.
    const header = '020000000001 020000000009 86dd 60000000 0020 3a ff';
    const addresses = 'fe800000000000000000000000000009 fe800000000000000000000000000001';
    const rest = `${body} fe800000000000000000000000000009 02 01 020000000009`;
    const hex = toHex(frame);
    expect(hex.slice(0, 108) + hex.slice(116)).toBe(
      `${header}${addresses}${rest}`.replace(/\s+/g, '').replace(/^(.{108})/, '$1'),
    );
  });

  it('is not answered while it is not known whether the address is a router', () => {
    const rig = met6();
    rig.fromPeer(PEER_A, VNI, solicit({ src: 8, target: 1 }));
    got(rig);
    expect(known(rig)).toContain('fe80::8 02:00:00:00:00:08');
    rig.from('a', solicit({ src: 1, target: 8 }));
    expect(got(rig)).toEqual(FROM_A);
    rig.fromPeer(PEER_A, VNI, advertise({ src: 8 }));
    got(rig);
    rig.from('a', solicit({ src: 1, target: 8 }));
    expect(onlyTo(rig, 'a')).toHaveLength(1);
    // What it asks later takes nothing back.
    rig.fromPeer(PEER_A, VNI, solicit({ src: 8, target: 1 }));
    got(rig);
    rig.from('a', solicit({ src: 1, target: 8 }));
    expect(onlyTo(rig, 'a')).toHaveLength(1);
  });

  it('that looks for duplicates (RFC 4862) is flooded', () => {
    const rig = met6();
    rig.from('b', solicit({ src: 4, ipSrc: UNSPECIFIED, target: 9, lla: null }));
    expect(got(rig)).toEqual(['a', PEER_A, PEER_B]);
    rig.from('a', solicit({ src: 1, target: 1 }));
    expect(got(rig)).toEqual(FROM_A);
  });

  it("without its sender's MAC, to one station, or of somebody new goes on", () => {
    const rig = met6();
    rig.from('a', solicit({ src: 1, target: 9, lla: null }));
    expect(got(rig)).toEqual(FROM_A);
    rig.from('a', solicit({ src: 1, target: 9, ipDst: 9 }));
    expect(got(rig)).toEqual([PEER_A]);
    rig.from('b', solicit({ src: 4, target: 9 }));
    expect(got(rig)).toEqual(['a', PEER_A, PEER_B]);
    rig.from('b', solicit({ src: 4, target: 9 }));
    expect(onlyTo(rig, 'b')).toHaveLength(1);
  });

  it('behind extension headers is one as well', () => {
    const rig = met6();
    rig.from('a', solicit({ src: 1, target: 9, extensions: { first: 60, bytes: join(58, 0, 1, 4, 0, 0, 0, 0) } }));
    expect(onlyTo(rig, 'a')).toHaveLength(1);
  });
});

describe('what receivers discard (RFC 4861 sections 6.1 and 7.1)', () => {
  const bad: [string, Uint8Array][] = [
    ['a hop limit below 255', advertise({ src: 7, hopLimit: 254 })],
    ['a wrong checksum', advertise({ src: 7, checksumError: 1 })],
    ['a code', advertise({ src: 7, code: 1 })],
    ['a group as target', advertise({ src: 7, target: join('ff02 0000 0000 0000 0000 0000 0000 0007') })],
    ['an IPv4 address as target', advertise({ src: 7, target: join('00000000000000000000ffff', stationV4(9)) })],
    ['an option of no length', icmpv6({ src: 7 }, 136, join('20000000', linkLocal(7), '0000', '02010200000000070000'))],
    ['an option past the end', icmpv6({ src: 7 }, 136, join('20000000', linkLocal(7), '0202', stationMac(7)))],
    [
      'a fragment header (RFC 6980)',
      advertise({ src: 7, extensions: { first: 44, bytes: join(58, 0, 0, 0, 0, 0, 0, 1) } }),
    ],
    ['no MAC', advertise({ src: 7, lla: null })],
    ['a group as MAC', advertise({ src: 7, lla: BROADCAST })],
    ['too few bytes', icmpv6({ src: 7 }, 136, join('20000000', linkLocal(7).slice(0, 12)))],
    ['a source that is none', solicit({ src: 7, ipSrc: UNSPECIFIED, target: 9 })],
  ];
  it.each(bad)('teaches nothing: %s', (_, frame) => {
    const rig = met6();
    const before = known(rig);
    rig.from('a', frame);
    expect(got(rig)).toEqual(FROM_A);
    expect(known(rig)).toEqual(before);
  });

  it('and odd ARP: other hardware, other protocols, other operations', () => {
    const rig = lab();
    const good = arp({ sha: 7, spa: 7 });
    for (const at of [14, 15, 16, 17, 18, 19, 20]) {
      const frame = good.slice();
      frame[at] ^= 0x40;
      rig.from('a', frame);
    }
    rig.from('a', [arp({ operation: 3, sha: 7, spa: 7 }), arp({ operation: 0, sha: 7, spa: 7 })]);
    rig.from('a', ethernet({ src: 7, dst: BROADCAST }, 0x8035, good.slice(14)));
    expect(known(rig)).toEqual([]);
    rig.from('a', good);
    expect(known(rig)).toEqual(['10.0.0.7 02:00:00:00:00:07']);
    got(rig);
  });

  it('frames that end anywhere teach nothing, and are answered by nobody', () => {
    const rig = met6();
    installNeighbours(rig.pipeline.neighbours, []);
    const before = known(rig);
    const whole = [
      arp({ sha: 7, spa: 7, tpa: 9, trailer: 0 }),
      arp({ sha: 7, spa: 7, tpa: 9, trailer: 0, tags: [[0x8100, 0]] }),
      solicit({ src: 7, target: 9 }),
      advertise({ src: 7 }),
    ];
    for (const frame of whole) {
      for (let n = 0; n < frame.length; n++) rig.from('a', frame.slice(0, n));
      expect(known(rig)).toEqual(before);
    }
    got(rig);
    for (const frame of whole) rig.from('a', frame);
    expect(known(rig)).toContain('fe80::7 02:00:00:00:00:07');
  });
});

it('an unknown peer, which has no place, is not learned from', () => {
  const rig = lab({ networks: [suppressing({ acceptUnknownPeers: true })] });
  rig.fromPeer('198.18.0.77', VNI, gratuitous(9));
  expect(known(rig)).toEqual([]);
  expect(got(rig)).toEqual(['a', 'b']);
});
