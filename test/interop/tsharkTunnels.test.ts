// Every header that weft writes, as tshark reads it: all encapsulations over IPv4 and IPv6, from the walk of one worker in memory.
import { writeFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { casesOf, makeBench, WAYS } from '../rig/conformance.js';
import { join, tcp, udp } from '../rig/frames.js';
import { scratchFile } from '../rig/node.js';
import { describeWith } from '../rig/requirements.js';
import { readFields } from '../rig/tshark.js';
import type { Encapsulation } from '../rig/tunnels.js';

const u32le = (n: number) => [n & 255, (n >>> 8) & 255, (n >>> 16) & 255, (n >>> 24) & 255];

/** A capture file of Ethernet frames (libpcap's own format, little-endian, microseconds). */
function captureOf(frames: Uint8Array[]): string {
  const path = scratchFile('tunnels.pcap');
  const header = join('d4c3b2a1 0200 0400 00000000 00000000', u32le(65535), u32le(1));
  const records = frames.map((f, k) => join(u32le(k), u32le(0), u32le(f.length), u32le(f.length), f));
  writeFileSync(path, join(header, ...records));
  return path;
}

const CHECKSUMS = ['ip.checksum.status', 'udp.checksum.status', 'tcp.checksum.status'] as const;
const FIELDS = [
  ...CHECKSUMS,
  ...(['frame.protocols', 'udp.dstport', 'tcp.seq_raw', 'tcp.len'] as const),
  ...(['vxlan.vni', 'vxlan.gbp', 'geneve.vni', 'geneve.option.class', 'geneve.option.type'] as const),
  ...(['gre.key', 'gre.checksum.status', 'gre.sequence_number', 'gre.proto', '_ws.malformed'] as const),
] as const;

/** Layers between the outer IP header and the inner packet, as a pattern of tshark's names; GPE's own layer has none, GUE's no reader. */
function layers({ tunnel: { kind, gpe }, mode }: Encapsulation): string {
  const ethernet = mode === 'l2' || (kind === 'vxlan' && !gpe) ? 'eth:ethertype:' : '';
  const own = { vxlan: gpe ? 'udp:' : 'udp:vxlan:', geneve: 'udp:geneve:', gre: 'gre:', ipip: '', none: '' };
  // "Decode as ip" leaves its name in front of ipv6, too.
  return kind === 'fou' || kind === 'gue' ? 'udp:(ip:)?' : `${own[kind]}${ethernet}`;
}

const GUE_BYTES = 4;

/** The packet inside, in Ethernet: tshark has no reader for GUE. Its header's bytes are compared here. */
function withoutGue(frame: Uint8Array, family: number): Uint8Array {
  const udpAt = 14 + (family === 4 ? 20 : 40);
  const gueAt = udpAt + 8;
  const packet = frame.slice(gueAt + GUE_BYTES);
  const protocol = packet[0] >>> 4 === 4 ? 4 : 41;
  expect([...frame.subarray(gueAt, gueAt + GUE_BYTES)]).toEqual([0, protocol, 0, 0]);
  return join('020000000002 020000000001', protocol === 4 ? '0800' : '86dd', packet);
}

const frames = [
  udp({ src: 1, dst: 9, payload: 33, tos: 0xb9 }),
  udp({ src: 1, dst: 9, payload: 34, family: 6 }),
  tcp({ src: 1, dst: 9, payload: 501 }),
  tcp({ src: 1, dst: 9, payload: 0, family: 6 }),
];
const superframe = tcp({ src: 1, dst: 9, seq: 9000, payload: 1500, checksum: 'unfinished' });

describeWith(['tshark'], 'tshark reads the tunnels of a frame underlay', () => {
  it.each(casesOf(WAYS.filter((way) => way.over === 'frame')))('$name', async ({ e, way }) => {
    const isL2 = e.mode === 'l2';
    const bench = makeBench(e, way, { offloads: true });
    bench.from(frames);
    const csumStart = isL2 ? 34 : 20;
    bench.from(superframe, { flags: 1, gsoType: 1, gsoSize: 600, csumStart, csumOffset: 16 });
    const wire = bench.rig.wire();
    const rows = await readFields(captureOf(wire), FIELDS, { decode: ['udp.port==8472,vxlan', 'udp.port==8285,ip'] });
    expect(rows).toHaveLength(frames.length + 3);
    for (const [k, row] of rows.entries()) {
      const says = JSON.stringify(row);
      expect(row['_ws.malformed'], says).toEqual([]);
      for (const field of CHECKSUMS) for (const status of row[field]) expect(status, says).toBe('1');
      const outer = way.family === 4 ? 'eth:ethertype:ip' : 'eth:ethertype:ipv6';
      const isInnerV6 = k === 1 || k === 3;
      const inner = `${isInnerV6 ? 'ipv6' : 'ip'}:${k < 2 ? 'udp' : 'tcp'}`;
      const pattern = e.tunnel.kind === 'gue' ? `^${outer}:udp:data$` : `^${outer}:${layers(e)}${inner}(:data)?$`;
      expect(row['frame.protocols'][0], says).toMatch(new RegExp(pattern));
    }
    const { kind, id } = e.tunnel;
    const hex = (text: string) => Number(text);
    if (kind === 'vxlan') expect(rows.map((row) => hex(row['vxlan.vni'][0]))).toEqual(rows.map(() => id));
    if (e.tunnel.group >= 0)
      expect(rows.map((row) => hex(row['vxlan.gbp'][0]))).toEqual(rows.map(() => e.tunnel.group));
    if (kind === 'geneve') {
      expect(rows.map((row) => hex(row['geneve.vni'][0]))).toEqual(rows.map(() => id));
      const { options } = e.tunnel;
      for (const row of rows) {
        expect(row['geneve.option.class'].map(hex)).toEqual(options.map((o) => o.class));
        expect(row['geneve.option.type'].map(hex)).toEqual(options.map((o) => o.type));
      }
    }
    if (kind === 'gre') {
      expect(rows.map((row) => row['gre.key'].map(hex))).toEqual(rows.map(() => (e.tunnel.hasKey ? [id] : [])));
      expect(rows.map((row) => row['gre.sequence_number'].map(hex))).toEqual(
        rows.map((_, k) => (e.tunnel.sequence ? [k] : [])),
      );
      if (e.tunnel.checksum) for (const row of rows) expect(row['gre.checksum.status']).toEqual(['1']);
    }
    if (kind === 'gue') {
      expect(rows.map((row) => row['udp.dstport'])).toEqual(rows.map(() => ['6080']));
      const carried = await readFields(captureOf(wire.map((frame) => withoutGue(frame, way.family))), FIELDS);
      for (const row of carried)
        for (const field of CHECKSUMS) for (const status of row[field]) expect(status, JSON.stringify(row)).toBe('1');
      rows.splice(0, rows.length, ...carried);
    }
    // The segments of the superframe.
    expect(rows.slice(-3).map((row) => [row['tcp.seq_raw'][0], row['tcp.len'][0]])).toEqual([
      ['9000', '600'],
      ['9600', '600'],
      ['10200', '300'],
    ]);
  });
});
