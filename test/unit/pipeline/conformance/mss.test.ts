// The maximum segment size of TCP connections over tunnels, the same for every encapsulation.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type BenchOptions, casesOf, makeBench, WAYS } from '../../../rig/conformance.js';
import { ACK, join, noise, SYN, type TcpFields, tcp, u16 } from '../../../rig/frames.js';
import { makeRig, network, PEER_A, PEER_B, peer } from '../../../rig/pipeline.js';

const MTU = 1000;
/** MTU less the headers of IPv4 and TCP, and of IPv6 and TCP (RFC 6691). */
const MOST = { 4: 960, 6: 940 } as const;
const mssOption = (mss: number) => join('02 04', u16(mss));
/** Options of a Linux SYN: MSS, SACK permitted, timestamps, no operation, window scale. */
const linux = (mss: number) => join(mssOption(mss), '04 02', '08 0a 00000001 00000000', '01', '03 03 07');
/** The option at an odd offset, as nobody sends it and everybody may. */
const odd = (mss: number) => join('01', mssOption(mss), '01 01 00');

const syn = (tcpOptions: Uint8Array, rest: TcpFields = {}) => tcp({ src: 1, dst: 9, flags: SYN, tcpOptions, ...rest });
const back = (tcpOptions: Uint8Array, rest: TcpFields = {}) =>
  syn(tcpOptions, { src: 9, dst: 1, flags: SYN | ACK, ...rest });

describe.each(casesOf(WAYS))('$name', ({ e, way }) => {
  const bench = (options: BenchOptions = {}) => makeBench(e, way, { mtu: MTU, also: { mssClamp: true }, ...options });
  const isL2 = e.mode === 'l2';

  it.each([4, 6] as const)('is lowered to what fits, both ways, over IPv%d', (family) => {
    const b = bench();
    const most = MOST[family];
    for (const options of [linux, odd, mssOption]) {
      b.from([syn(options(1460), { family }), syn(options(65535), { family, flags: SYN | ACK })]);
      const wanted = [syn(options(most), { family }), syn(options(most), { family, flags: SYN | ACK })];
      const from = b.rig.row('peer', 1).txPackets - 2;
      expect(b.sent().map((s) => s.payload)).toEqual(wanted.map((f, k) => b.expected(f, 'a', from + k)));
      b.arrives(back(options(1460), { family }));
      expect(b.took('a')).toEqual([b.inner(back(options(most), { family }))]);
    }
  });

  it('is never raised, not added, and left alone where there is no SYN or no switch', () => {
    const b = bench();
    const same = [
      syn(mssOption(MOST[4])),
      syn(mssOption(1)),
      syn(join('')),
      syn(join('01 01 01 00')),
      tcp({ src: 1, dst: 9, flags: ACK, tcpOptions: mssOption(1460) }),
      // Behind the end of the options, of another length, past the end, of no length.
      syn(join('00', mssOption(1460), '00 00 00')),
      syn(join('02 03 ff 02 05 ff ff ff')),
      syn(join('01 01 02 04')),
      syn(join('08 00 00 00', mssOption(1460))),
      syn(join('08 01 00 00', mssOption(1460))),
      syn(join('05 ff 00 00', mssOption(1460))),
      syn(mssOption(1460), { fragment: 0x6000 }),
    ];
    b.from(same);
    expect(b.sent().map((s) => s.payload)).toEqual(same.map((f, k) => b.expected(f, 'a', k)));
    const off = bench({ also: { mssClamp: false } });
    off.from(syn(linux(1460)));
    expect(off.sent()[0].payload).toEqual(off.expected(syn(linux(1460)), 'a', 0));
  });

  it('keeps a wrong checksum wrong, and leaves one that is to be finished to who finishes it', () => {
    const b = bench({ offloads: true });
    b.from(syn(linux(1460), { checksum: 'bad' }));
    expect(b.sent()[0].payload).toEqual(b.expected(syn(linux(MOST[4]), { checksum: 'bad' }), 'a', 0));
    const link = isL2 ? 14 : 0;
    b.from(syn(linux(1460), { checksum: 'unfinished' }), { csumStart: link + 20, csumOffset: 16 });
    expect(b.sent()[0].payload).toEqual(b.expected(syn(linux(MOST[4])), 'a', 1));
  });
});

describe('the way decides', () => {
  const rig = () =>
    makeRig({
      ports: { a: { id: 1, network: 1 }, b: { id: 2, network: 1 } },
      networks: [network(1, { mtu: 1400, mssClamp: true }), network(2, { mtu: 1300, mssClamp: true, domain: 1 })],
      peers: [peer(1, 1, PEER_A, { mtu: 1200 }), peer(2, 2, PEER_B)],
    });
  const mssOf = (frame: Uint8Array) => (frame.at(-2) ?? 0) * 256 + (frame.at(-1) ?? 0);
  const plain = (src: number, dst: number) => syn(mssOption(1460), { src, dst });

  it('between local ports nothing, to a peer the path to it, when flooded the network, over a bridge the smaller one', () => {
    const r = rig();
    r.from('b', tcp({ src: 2, dst: 77 }));
    r.fromPeer(PEER_A, 41, tcp({ src: 9, dst: 77 }));
    r.fromPeer(PEER_B, 42, tcp({ src: 8, dst: 77 }));
    r.delivered();
    r.kernel.sent.length = 0;
    r.from('a', plain(1, 2));
    expect(r.took('b').map(mssOf)).toEqual([1460]);
    r.from('a', [plain(1, 9), plain(1, 8)]);
    expect(r.kernel.sent.splice(0).map((m) => mssOf(m.datagrams[0]))).toEqual([1160, 1260]);
    r.from('a', plain(1, 99));
    expect(r.took('b').map(mssOf)).toEqual([1360]);
    r.kernel.sent.length = 0;
    r.fromPeer(PEER_B, 42, plain(8, 9));
    expect(r.kernel.sent.splice(0).map((m) => mssOf(m.datagrams[0]))).toEqual([1160]);
  });
});

it('keeps the checksum right for any options and any MSS', () => {
  const [{ e, way }] = casesOf(WAYS);
  const fields = fc.record({
    before: fc.array(fc.constantFrom([1], [4, 2], [3, 3, 7], [8, 10, 1, 2, 3, 4, 5, 6, 7, 8]), { maxLength: 3 }),
    mss: fc.nat(65535),
    family: fc.constantFrom(4 as const, 6 as const),
    payload: fc.integer({ min: 0, max: 40 }),
    seq: fc.nat(0xffffffff),
  });
  const b = makeBench(e, way, { mtu: MTU, also: { mssClamp: true } });
  fc.assert(
    fc.property(fields, ({ before, mss, family, payload, seq }) => {
      const options = (value: number) => {
        const bytes = [...before.flat(), ...mssOption(value)];
        return Uint8Array.from([...bytes, ...new Array((4 - (bytes.length % 4)) % 4).fill(0)]);
      };
      const frame = (value: number) => syn(options(value), { family, payload: noise(payload, 3), seq });
      b.from(frame(mss));
      const [sent] = b.sent();
      expect(sent.payload).toEqual(b.expected(frame(Math.min(mss, MOST[family])), 'a', 0));
    }),
    { numRuns: 300 },
  );
});
