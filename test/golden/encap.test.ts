// Inner frames go in at a local port; the outer frames that come out are compared, byte for byte, with ones written out field by field.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readFrames, writePcap } from '../rig/captureFiles.js';
import { join as bytesOf, outer as outerFrame, vxlan } from '../rig/frames.js';
import { NEXT_HOP_MAC, OWN_MAC, replay } from './replay.js';

const SELF = '198.18.0.1';
const PEERS = ['198.18.0.2', '198.18.0.3'];
const OUTER_BYTES = 50;
const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');
const hexes = (frames: Buffer[]) => frames.map((frame) => frame.toString('hex'));

/** Where the outer headers hold what the flow decides. */
const sourcePortOf = (outer: Buffer) => outer.readUInt16BE(34);
const destinationOf = (outer: Buffer) => outer.subarray(30, 34).join('.');

const ADDRESSES = '020000000009 020000000001';
const IPV4 = '4500001c000040004011 0000 0a000001 0a000002 1234 5678 0008 0000';

/** Inner frames and the TOS byte that RFC 6040 looks at; lengths odd and even, the shortest and the longest of an MTU of 1450. */
const crafted: { what: string; frame: Buffer; tos: number }[] = [
  { what: 'a frame of 14 bytes', frame: hex(`${ADDRESSES} 88b5`), tos: 0 },
  { what: 'an odd length', frame: hex(`${ADDRESSES} 88b5 01`), tos: 0 },
  { what: 'IPv4 that is ECN-capable', frame: hex(`${ADDRESSES} 0800 ${IPV4.replace('4500', '45ba')}`), tos: 0xba },
  { what: 'IPv4 with a congestion mark', frame: hex(`${ADDRESSES} 0800 ${IPV4.replace('4500', '4503')}`), tos: 0x03 },
  { what: 'a VLAN tag before IPv4', frame: hex(`${ADDRESSES} 8100 6007 0800 ${IPV4.replace('4500', '4501')}`), tos: 1 },
  {
    what: 'IPv6 with traffic class 0x22',
    frame: hex(`${ADDRESSES} 86dd 6220 0000 0000 3b40 ${'00'.repeat(15)}01 ${'00'.repeat(15)}02`),
    tos: 0x22,
  },
  { what: 'a full MTU', frame: Buffer.concat([hex(`${ADDRESSES} 88b5`), Buffer.alloc(1450, 0x5a)]), tos: 0 },
];

describe('frames of a port, encapsulated', () => {
  let folder: string;
  let input: string;
  let output: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'weft-golden-'));
    input = join(folder, 'inner.pcap');
    output = join(folder, 'outer.pcapng');
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  /** DF set, IP identification 0; the destination and the source port are taken from `outer`. */
  const expected = (outer: Buffer, inner: Buffer, tos: number, settings: { ttl?: number; checksum?: boolean } = {}) => {
    const macs = { dstMac: bytesOf(NEXT_HOP_MAC.replaceAll(':', '')), srcMac: bytesOf(OWN_MAC.replaceAll(':', '')) };
    const route = { src: SELF, dst: destinationOf(outer), sport: sourcePortOf(outer) };
    const checksum = settings.checksum === false ? ('zero' as const) : ('good' as const);
    const fields = { ...macs, ...route, checksum, tos, ttl: settings.ttl ?? 64, fragment: 0x4000 };
    return Buffer.from(outerFrame(fields, vxlan(0xabcdef, inner))).toString('hex');
  };

  it.each([
    { checksum: true, dscp: 0, ttl: 64 },
    { checksum: false, dscp: 46, ttl: 1 },
    { checksum: true, dscp: -1, ttl: 255 },
  ])('writes every field: %o', (settings) => {
    writePcap(
      input,
      crafted.map(({ frame }) => frame),
    );
    const result = replay({
      address: SELF,
      peers: PEERS,
      vni: 0xabcdef,
      port: { input },
      underlay: { output },
      settings,
    });
    const outers = readFrames(output);
    for (const peer of PEERS) {
      const toPeer = outers.filter((outer) => destinationOf(outer) === peer);
      const tos = (inner: number) => (settings.dscp < 0 ? inner : (settings.dscp << 2) | (inner & 3));
      expect(hexes(toPeer)).toEqual(
        crafted.map(({ frame, tos: own }, i) => expected(toPeer[i], frame, tos(own), settings)),
      );
    }
    const sent = crafted.length * PEERS.length;
    expect(result.account).toEqual({
      received: crafted.length,
      copied: crafted.length,
      made: 0,
      sent,
      dropped: 0,
      consumed: 0,
      held: 0,
    });
    expect(outers).toHaveLength(sent);
  });

  it('finds the same headers for frames that it need not copy', () => {
    // One peer that has been heard: every frame goes to it alone, with the header in its own headroom.
    const learned = join(folder, 'learned.pcap');
    const hello = hex('020000000001 020000000009 88b5 00');
    writePcap(learned, [outerFrame({ src: PEERS[0], dst: SELF }, vxlan(0xabcdef, hello))]);
    writePcap(
      input,
      crafted.map(({ frame }) => frame),
    );
    const underlay = { input: learned, output };
    const result = replay({
      address: SELF,
      peers: PEERS,
      vni: 0xabcdef,
      port: { input },
      underlay,
      underlayFirst: true,
    });
    const outers = readFrames(output);
    expect(hexes(outers)).toEqual(crafted.map(({ frame, tos }, i) => expected(outers[i], frame, tos & 3)));
    expect(outers.map(destinationOf)).toEqual(crafted.map(() => PEERS[0]));
    expect(result.account).toMatchObject({
      received: crafted.length + 1,
      copied: 0,
      sent: crafted.length + 1,
      held: 0,
    });
  });

  it('keeps a flow on one source port, and spreads flows over 49152 to 65535', () => {
    const flow = (port: number) => {
      const frame = hex(`${ADDRESSES} 0800 ${IPV4}`);
      frame.writeUInt16BE(port, 34);
      return frame;
    };
    const ports = Array.from({ length: 200 }, (_, i) => 1000 + i);
    writePcap(input, [...ports, ...ports.toReversed()].map(flow));
    replay({ address: SELF, peers: [PEERS[0]], vni: 0xabcdef, port: { input }, underlay: { output } });
    const chosen = readFrames(output).map(sourcePortOf);
    expect(chosen.slice(200).toReversed()).toEqual(chosen.slice(0, 200));
    expect(Math.min(...chosen)).toBeGreaterThanOrEqual(49152);
    expect(new Set(chosen).size).toBeGreaterThan(180);
  });

  it("carries one side of two kernels' talk back into a tunnel", () => {
    const talk = fileURLToPath(new URL('captures/kernel-vxlan.pcap', import.meta.url));
    const speaker = (frame: Buffer) => frame.toString('hex', 6, 12);
    const all = readFrames(talk).map((frame) => frame.subarray(OUTER_BYTES));
    const inner = all.filter((frame) => speaker(frame) === speaker(all[0]));
    writePcap(input, inner);
    const result = replay({ address: SELF, peers: [PEERS[0]], vni: 0xabcdef, port: { input }, underlay: { output } });
    const outers = readFrames(output);
    expect(hexes(outers)).toEqual(inner.map((frame, i) => expected(outers[i], frame, 0)));
    expect(result.account).toMatchObject({ received: inner.length, sent: inner.length, dropped: 0, held: 0 });
  });
});
