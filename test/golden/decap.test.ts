// Captures of other implementations go in as outer frames; what comes out of the local port is what tshark found inside them.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readFrames, readTable } from '../rig/captureFiles.js';
import { isMet } from '../rig/requirements.js';
import { replay } from './replay.js';

const capture = (name: string) => fileURLToPath(new URL(`captures/${name}`, import.meta.url));

const talks = [
  { file: 'kernel-vxlan', stations: ['10.9.0.2', '10.9.0.3'] },
  { file: 'kernel-vxlan-nocsum', stations: ['10.9.0.2', '10.9.0.3'] },
  { file: 'ovs-vxlan', stations: ['10.8.0.1', '10.8.0.2'] },
];
const directions = talks.flatMap(({ file, stations: [a, b] }) => [
  { file, from: a, to: b },
  { file, from: b, to: a },
]);

/** Ethernet, IPv4 without options, UDP and VXLAN. */
const OUTER_BYTES = 14 + 20 + 8 + 8;

const outermost = (field: string) => field.split(',')[0];
const innermost = (field: string) => field.split(',').slice(1).join(',');

/** Columns of captures/*.tsv that describe the inner frame alone once the outermost value is taken away. */
const WITH_OUTER = ['eth.dst', 'eth.src', 'eth.type', 'ip.dsfield', 'ip.len', 'ip.id', 'ip.flags.df', 'ip.ttl'];
WITH_OUTER.push('ip.proto', 'ip.checksum', 'ip.src', 'ip.dst', 'udp.srcport', 'udp.dstport', 'udp.length');
WITH_OUTER.push('udp.checksum');
const INNER_ONLY = [
  'arp.opcode',
  'arp.src.hw_mac',
  'arp.src.proto_ipv4',
  'arp.dst.hw_mac',
  'tcp.srcport',
  'tcp.dstport',
];
INNER_ONLY.push('tcp.seq_raw', 'tcp.ack_raw', 'tcp.flags', 'tcp.checksum', 'icmp.type', 'icmp.checksum', 'icmp.seq');

function tsharkRows(path: string, names: string[]): Record<string, string>[] {
  const fields = names.flatMap((name) => ['-e', name]);
  const args = ['-r', path, '-T', 'fields', '-E', 'occurrence=a', '-E', 'aggregator=,', ...fields];
  const text = execFileSync('tshark', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => Object.fromEntries(line.split('\t').map((value, i) => [names[i], value])));
}

describe('captures of other implementations, decapsulated', () => {
  let folder: string;
  let output: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'weft-golden-'));
    output = join(folder, 'inner.pcapng');
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it.each(directions)('$file: frames from $from to $to come out whole', ({ file, from, to }) => {
    const input = capture(`${file}.pcap`);
    const rows = readTable(capture(`${file}.tsv`));
    const result = replay({ address: to, peers: [from], underlay: { input }, port: { output } });

    const frames = readFrames(input);
    const expected = frames.filter((_, i) => outermost(rows[i]['ip.dst']) === to);
    const inner = readFrames(output);
    expect(expected.length).toBeGreaterThan(3);
    expect(inner.map((frame) => frame.toString('hex'))).toEqual(
      expected.map((frame) => frame.subarray(OUTER_BYTES).toString('hex')),
    );
    // tshark's length of the outer UDP packet says where the inner frame ends.
    const lengths = rows
      .filter((row) => outermost(row['ip.dst']) === to)
      .map((row) => Number(outermost(row['udp.length'])));
    expect(inner.map((frame) => frame.length + 16)).toEqual(lengths);

    expect(result.drops).toEqual({ 'not-for-us': frames.length - expected.length });
    expect(result.account).toMatchObject({ received: frames.length, sent: expected.length, held: 0 });
  });

  it.for(directions)('$file from $from: tshark reads in the output what it read inside the input', (talk, { skip }) => {
    skip(!isMet('tshark'), 'needs the tshark command');
    const { file, from, to } = talk;
    replay({ address: to, peers: [from], underlay: { input: capture(`${file}.pcap`) }, port: { output } });
    const rows = readTable(capture(`${file}.tsv`)).filter((row) => outermost(row['ip.dst']) === to);
    const expected = rows.map((row) => ({
      ...Object.fromEntries(WITH_OUTER.map((name) => [name, innermost(row[name])])),
      ...Object.fromEntries(INNER_ONLY.map((name) => [name, row[name]])),
    }));
    expect(tsharkRows(output, [...WITH_OUTER, ...INNER_ONLY])).toEqual(expected);
  });

  it('takes nothing from the wrong VNI, and nothing from strangers', () => {
    const input = capture('kernel-vxlan.pcap');
    const rows = readTable(capture('kernel-vxlan.tsv'));
    const ours = rows.filter((row) => outermost(row['ip.dst']) === '10.9.0.3').length;
    const others = rows.length - ours;
    const base = { address: '10.9.0.3', underlay: { input }, port: { output } };

    const wrongVni = replay({ ...base, peers: ['10.9.0.2'], vni: 43 });
    expect(wrongVni.drops).toEqual({ 'not-for-us': others, 'unknown-vni': ours });
    const strangers = replay({ ...base, peers: ['10.9.0.7'] });
    expect(strangers.drops).toEqual({ 'not-for-us': others, 'unknown-peer': ours });
    expect(readFrames(output)).toEqual([]);
    const open = replay({ ...base, peers: ['10.9.0.7'], acceptUnknownPeers: true });
    expect(open.drops).toEqual({ 'not-for-us': others });
    expect(readFrames(output)).toHaveLength(ours);
    for (const { account } of [wrongVni, strangers, open]) expect(account.held).toBe(0);
  });

  it('finds its own among the two captures of a merged pcapng file', () => {
    const merged = { address: '10.9.0.3', peers: ['10.9.0.2'], underlay: { input: capture('merged.pcapng') } };
    const { drops } = replay({ ...merged, port: { output } });
    const alone = join(folder, 'alone.pcapng');
    replay({ ...merged, underlay: { input: capture('kernel-vxlan.pcap') }, port: { output: alone } });
    expect(readFrames(output)).toEqual(readFrames(alone));
    expect(Object.keys(drops)).toEqual(['not-for-us']);
  });
});
