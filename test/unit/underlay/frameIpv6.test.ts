import { describe, expect, it } from 'vitest';
import { tunnelPlan } from '../../../src/tunnel/tunnel.js';
import { join, noise, onesSum, u16, u32, udp, v6, vxlan } from '../../rig/frames.js';
import { FRAMES, makeRig, network, peer } from '../../rig/pipeline.js';

const SELF = '2001:db8::1';
const PEER = '2001:db8::2';

function rigOf() {
  return makeRig({
    ports: { a: { id: 1, network: 1 } },
    networks: [
      network(1, { underlay: FRAMES }),
      network(2, { tunnel: tunnelPlan('ipip'), mode: 'l3', underlay: FRAMES }),
    ],
    peers: [peer(1, 1, PEER, { underlay: FRAMES })],
    underlay: { address: SELF },
    neighbours: { [PEER]: '02:00:00:00:0a:02' },
  });
}

const inner = udp({ src: 9, dst: 1, payload: 20 });

interface Fields {
  src?: string;
  dst?: string;
  version?: number;
  /** Extension headers in front of UDP: number and whole bytes, but for the next header. */
  extensions?: [number, number[]][];
  payloadLen?: number;
  checksum?: 'good' | 'bad' | 'zero';
  udpLen?: number;
  dport?: number;
  trailer?: number;
  /** Instead of UDP. */
  next?: number;
}

function outerV6(f: Fields = {}, payload: Uint8Array = vxlan(41, inner)): Uint8Array {
  const src = v6(f.src ?? PEER);
  const dst = v6(f.dst ?? SELF);
  const datagram = join(u16(50000), u16(f.dport ?? 4789), u16(f.udpLen ?? 8 + payload.length), u16(0), payload);
  if (f.checksum !== 'zero') {
    const sum = 0xffff - onesSum(join(src, dst, u32(datagram.length), 0, 0, 0, 17), datagram);
    datagram.set(u16((f.checksum === 'bad' ? sum ^ 0x0100 : sum) || 0xffff), 6);
  }
  const extensions = f.extensions ?? [];
  const chain = extensions.map(([, bytes], k) => join(extensions[k + 1]?.[0] ?? f.next ?? 17, bytes));
  const body = join(...chain, datagram);
  const header = join(
    u32(((f.version ?? 6) << 28) | 0x0aa12345),
    u16(f.payloadLen ?? body.length),
    extensions[0]?.[0] ?? f.next ?? 17,
    64,
    src,
    dst,
  );
  return join('020000000a01 020000000a02 86dd', header, body, noise(f.trailer ?? 0));
}

/** PadN (RFC 8200 section 4.2) and the tunnel encapsulation limit (RFC 2473 section 4.1.1). */
const padding: [number, number[]] = [0, [0, 1, 4, 0, 0, 0, 0]];
const limit: [number, number[]] = [60, [0, 4, 1, 4, 1, 1, 0]];

describe('outer frames over IPv6', () => {
  it('are delivered with extension headers that end at the tunnel', () => {
    const rig = rigOf();
    rig.fromWire(
      outerV6(),
      outerV6({ checksum: 'zero' }),
      outerV6({ trailer: 9 }),
      outerV6({ extensions: [limit] }),
      outerV6({ extensions: [padding, limit] }),
      outerV6({ extensions: [[60, [1, 1, 12, ...new Array(12).fill(0)]]] }),
    );
    expect(rig.took('a')).toEqual(Array.from({ length: 6 }, () => inner));
    expect(rig.drops()).toEqual({});
  });

  const hostile: [string, string, Uint8Array][] = [
    ['version 5', 'malformed-outer', outerV6({ version: 5 })],
    ['a payload beyond the frame', 'malformed-outer', outerV6({ payloadLen: 1000 })],
    ['a payload without UDP', 'malformed-outer', outerV6({ payloadLen: 7 })],
    [
      'an extension that ends behind the packet',
      'malformed-outer',
      outerV6({ extensions: [[60, [200, 1, 4, 0, 0, 0, 0]]] }),
    ],
    ['nothing but the beginning of an extension', 'malformed-outer', outerV6({ extensions: [padding], payloadLen: 7 })],
    ['too many extensions', 'not-for-us', outerV6({ extensions: [limit, limit, limit, limit] })],
    ['a fragment header', 'outer-fragment', outerV6({ extensions: [[44, [0, 0, 1, 0, 0, 0, 1]]] })],
    ['a routing header', 'not-for-us', outerV6({ extensions: [[43, [0, 4, 0, 0, 0, 0, 0]]] })],
    ['a wrong UDP checksum', 'outer-checksum', outerV6({ checksum: 'bad' })],
    ['a UDP length of 7', 'malformed-outer', outerV6({ udpLen: 7 })],
    [
      'a UDP length beyond the packet',
      'malformed-outer',
      outerV6({ udpLen: 9 + 8 + inner.length, trailer: 9, checksum: 'zero' }),
    ],
    ['another port', 'not-for-us', outerV6({ dport: 4788 })],
    ['another destination', 'not-for-us', outerV6({ dst: '2001:db8::3' })],
    ['an unknown sender', 'unknown-peer', outerV6({ src: '2001:db8::7' })],
    ['ICMPv6', 'not-for-us', outerV6({ next: 58 })],
    ['a bare packet of nobody', 'tunnel-protocol', outerV6({ next: 41 })],
  ];

  it.each(hostile)('with %s are dropped as %s', (_name, reason, frame) => {
    const rig = rigOf();
    rig.fromWire(frame, outerV6());
    expect(rig.drops()).toEqual({ [reason]: 1 });
    expect(rig.took('a')).toEqual([inner]);
  });

  it('cut off at every length are dropped, and nothing is delivered', () => {
    const whole = outerV6({ extensions: [padding, limit] });
    const rig = rigOf();
    for (let length = 0; length < whole.length; length++) rig.fromWire(whole.slice(0, length));
    expect(rig.delivered()).toEqual([]);
    expect(rig.drops()).toEqual({ 'malformed-outer': whole.length });
  });
});
