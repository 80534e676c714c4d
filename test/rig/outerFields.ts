// What a VXLAN packet looks like to tshark, and what must hold of every packet that a node sends.
import { expect } from 'vitest';

export const OUTER_FIELDS = [
  ...(['eth.src', 'eth.dst', 'eth.type', 'ieee8021ad.id', 'vlan.id', 'vlan.priority'] as const),
  ...(['ip.src', 'ip.dst', 'ip.proto', 'ip.dsfield', 'ip.flags.df', 'ip.ttl', 'ip.checksum.status'] as const),
  ...(['ipv6.src', 'ipv6.dst', 'ipv6.nxt', 'ipv6.tclass', 'icmp.checksum.status', '_ws.malformed'] as const),
  ...(['udp.srcport', 'udp.dstport', 'udp.checksum', 'udp.checksum.status', 'vxlan.flags', 'vxlan.vni'] as const),
  ...(['tcp.srcport', 'tcp.dstport', 'tcp.checksum.status', 'tcp.seq_raw', 'tcp.len'] as const),
] as const;
/** One packet: all values of each field, from the outermost layer inwards. */
export type OuterRow = Record<(typeof OUTER_FIELDS)[number], string[]>;

/** tshark's words for a checksum. */
const GOOD = '1';
const NOT_PRESENT = '3';

/** What a node's configuration says of its packets. */
export interface Wire {
  vni: number;
  checksum: boolean;
  /** -1: that of the inner packet. */
  dscp: number;
  ttl: number;
  udpPort: number;
  isSourcePort(port: number): boolean;
}

/** Inner flow of a row, as a text: the outer addresses are the first value of each field. */
function flowOf(row: OuterRow): string {
  const l3 = [...row['ip.src'].slice(1), ...row['ip.dst'].slice(1), ...row['ipv6.src'], ...row['ipv6.dst']];
  const isTransport = row['tcp.srcport'].length > 0 || row['udp.srcport'].length > 1;
  const ports = [row['tcp.srcport'], row['tcp.dstport'], row['udp.srcport'].slice(1), row['udp.dstport'].slice(1)];
  return l3.length === 0
    ? `${row['eth.src'][1]} ${row['eth.dst'][1]}`
    : `${l3} ${row['ip.proto'].slice(1)} ${isTransport ? ports.flat() : ''}`;
}

/** DSCP and ECN within: of IPv4 or IPv6, 0 where there is neither. */
const innerTos = (row: OuterRow) => Number(row['ip.dsfield'][1] ?? row['ipv6.tclass'][0] ?? 0);

/** Everything that is the same for all that a node sends: outer headers as configured, every checksum good, a flow on one source port. */
export function expectGood(rows: OuterRow[], wire: Wire): void {
  const portOf = new Map<string, string>();
  for (const row of rows) {
    const tos = innerTos(row);
    const outer = {
      df: row['ip.flags.df'][0],
      ttl: row['ip.ttl'][0],
      tos: Number(row['ip.dsfield'][0]),
      port: row['udp.dstport'][0],
      flags: row['vxlan.flags'],
      vni: row['vxlan.vni'],
      checksum: row['udp.checksum.status'][0],
      isZero: Number(row['udp.checksum'][0]) === 0,
      ipChecksums: new Set(row['ip.checksum.status']),
    };
    expect(outer, JSON.stringify(row)).toEqual({
      df: '1',
      ttl: `${wire.ttl}`,
      tos: wire.dscp < 0 ? tos : (wire.dscp << 2) | (tos & 3),
      port: `${wire.udpPort}`,
      flags: ['0x0800'],
      vni: [`${wire.vni}`],
      checksum: wire.checksum ? GOOD : NOT_PRESENT,
      isZero: !wire.checksum,
      ipChecksums: new Set([GOOD]),
    });
    const inner = [row['tcp.checksum.status'], row['udp.checksum.status'].slice(1), row['icmp.checksum.status']];
    expect(
      inner.flat().every((status) => status === GOOD),
      JSON.stringify(row),
    ).toBe(true);
    expect(row['_ws.malformed']).toEqual([]);
    const port = row['udp.srcport'][0];
    const flow = flowOf(row);
    expect(wire.isSourcePort(Number(port)), `source port ${port}`).toBe(true);
    expect(portOf.get(flow) ?? port, `source port of ${flow}`).toBe(port);
    portOf.set(flow, port);
  }
}
