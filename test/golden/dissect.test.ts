// Every field that weft names in a packet, as tshark reads it: all captures, all packets, all nested repeats.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { dissect, type Field } from '../../src/replay/dissect.js';
import { isMet } from '../rig/requirements.js';
import { readAll } from '../unit/wire/captureFiles.js';

const folder = fileURLToPath(new URL('captures/', import.meta.url));
const captures = readdirSync(folder).filter((name) => /\.pcap(ng)?$/.test(name));

/** Ports that these captures use for FOU and GUE belong to nobody: neither reader is told of them. */
const DECODE = ['-d', 'udp.port==8472,vxlan'];
const NAMES = ['eth.dst', 'eth.src', 'eth.type', 'vlan.id', 'vlan.priority', 'vlan.etype', 'arp.opcode'];
NAMES.push('arp.src.hw_mac', 'arp.src.proto_ipv4', 'arp.dst.hw_mac', 'arp.dst.proto_ipv4');
NAMES.push('ip.hdr_len', 'ip.dsfield.dscp', 'ip.dsfield.ecn', 'ip.len', 'ip.id', 'ip.flags.df', 'ip.flags.mf');
NAMES.push('ip.frag_offset', 'ip.ttl', 'ip.proto', 'ip.checksum', 'ip.src', 'ip.dst');
NAMES.push('ipv6.tclass.dscp', 'ipv6.flow', 'ipv6.plen', 'ipv6.nxt', 'ipv6.hlim', 'ipv6.src', 'ipv6.dst');
NAMES.push('udp.srcport', 'udp.dstport', 'udp.length', 'udp.checksum');
NAMES.push('tcp.srcport', 'tcp.dstport', 'tcp.seq_raw', 'tcp.ack_raw', 'tcp.hdr_len', 'tcp.flags');
NAMES.push('tcp.window_size_value', 'tcp.checksum', 'tcp.urgent_pointer');
NAMES.push(
  'vxlan.vni',
  'vxlan.reserved8',
  'vxlan.next_proto',
  'geneve.vni',
  'geneve.proto_type',
  'geneve.flags.critical',
);
NAMES.push('geneve.flags.oam', 'gre.flags_and_version', 'gre.proto', 'gre.checksum', 'gre.key', 'gre.sequence_number');
NAMES.push('icmpv6.type', 'icmpv6.checksum');

/** Numbers as numbers, all else as it stands: the two readers print bases, words and leading zeros in their own ways. */
function plain(value: string): string {
  const text = value.replace(/ \(.*\)$/, '');
  return /^(0x[0-9a-f]+|\d+)$/.test(text)
    ? String(Number(text))
    : text === 'True'
      ? '1'
      : text === 'False'
        ? '0'
        : text;
}

function readByTshark(path: string): Record<string, string[]>[] {
  const fields = NAMES.flatMap((name) => ['-e', name]);
  const form = ['-T', 'fields', '-E', 'occurrence=a', '-E', 'aggregator=|', '-o', 'ip.defragment:FALSE'];
  const args = ['-n', '-r', path, ...DECODE, ...form, ...fields];
  const text = execFileSync('tshark', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) =>
      Object.fromEntries(
        line.split('\t').map((value, i) => [NAMES[i], value === '' ? [] : value.split('|').map(plain)]),
      ),
    );
}

/** tshark also looks into the packet that an ICMP error quotes; weft takes it as data. */
function quotes(fields: readonly Field[]): boolean {
  return fields.some(
    ({ name, value }) => /^icmp(v6)?\.type/.test(name) && !/echo|neighbour|router|\b(13[3-6]|143)\b/.test(value),
  );
}

describe.skipIf(!isMet('tshark'))('fields of real packets, as tshark reads them', () => {
  it.each(captures)('%s', (name) => {
    const rows = readByTshark(`${folder}${name}`);
    const records = readAll(new Uint8Array(readFileSync(`${folder}${name}`)));
    expect(records).toHaveLength(rows.length);
    records.forEach((record, i) => {
      const fields = dissect(record.data, record.linkType).layers.flatMap((layer) => layer.fields);
      if (quotes(fields)) return;
      const own = Object.fromEntries(
        NAMES.map((field) => [
          field,
          fields.filter((f) => f.name.replace(/#\d+$/, '') === field).map((f) => plain(f.value)),
        ]),
      );
      expect(own, `packet ${i + 1}`).toEqual(rows[i]);
    });
  });
});
