import { describe, expect, it } from 'vitest';
import * as Address from '../../../src/wire/address.js';
import * as Arp from '../../../src/wire/arp.js';
import * as Checksum from '../../../src/wire/checksum.js';
import * as Ethernet from '../../../src/wire/ethernet.js';
import * as Icmp from '../../../src/wire/icmp.js';
import * as Ipv4 from '../../../src/wire/ipv4.js';
import * as Ipv6 from '../../../src/wire/ipv6.js';
import * as Tcp from '../../../src/wire/tcp.js';
import * as Udp from '../../../src/wire/udp.js';
import * as Vxlan from '../../../src/wire/vxlan.js';
import { captureBytes, readAll, timeText, tsharkRows } from './captureFiles.js';

// Frames of other implementations, every field of every layer against what tshark reads, which lies beside the captures.

const VXLAN_PORT = '4789';
const hex16 = (value: number) => `0x${value.toString(16).padStart(4, '0')}`;
const hex8 = (value: number) => `0x${value.toString(16).padStart(2, '0')}`;
const bit = (value: boolean) => (value ? '1' : '0');

/** Reads frames layer by layer, and notes each field in tshark's words. */
class Explained {
  readonly fields: Record<string, string[]> = {};
  /** Checksums that were there to be verified. */
  verified = 0;

  private readonly bytes: Uint8Array;
  private readonly end: number;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.end = bytes.length;
  }

  private note(prefix: string, fields: Record<string, string | number>): void {
    for (const [name, value] of Object.entries(fields)) {
      this.fields[`${prefix}.${name}`] ??= [];
      this.fields[`${prefix}.${name}`].push(String(value));
    }
  }

  private verify(sum: number): void {
    expect(sum).toBe(Checksum.RIGHT);
    this.verified++;
  }

  ethernet(at: number): void {
    const { bytes, end } = this;
    expect(Ethernet.check(bytes, at, end)).toBe(true);
    const l3 = Ethernet.l3At(bytes, at, end);
    const type = Ethernet.l3Type(bytes, l3);
    this.note('eth', {
      dst: Ethernet.macToText(bytes, at + Ethernet.DST_OFF),
      src: Ethernet.macToText(bytes, at + Ethernet.SRC_OFF),
      type: hex16(type),
    });
    if (type === Ethernet.TYPE_ARP) this.arp(l3);
    else if (type === Ethernet.TYPE_IPV4) this.ipv4(l3, true);
    else this.ipv6(l3);
  }

  private arp(at: number): void {
    const { bytes, end } = this;
    expect(Arp.check(bytes, at, end)).toBe(true);
    this.note('arp', {
      opcode: Arp.operation(bytes, at),
      'src.hw_mac': Ethernet.macToText(bytes, at + Arp.SENDER_MAC_OFF),
      'src.proto_ipv4': Address.ipv4WordToText(Arp.senderIp(bytes, at)),
      'dst.hw_mac': Ethernet.macToText(bytes, at + Arp.TARGET_MAC_OFF),
      'dst.proto_ipv4': Address.ipv4WordToText(Arp.targetIp(bytes, at)),
    });
  }

  /** `whole` is false for the start of a packet that an ICMP error quotes. */
  private ipv4(at: number, whole: boolean): void {
    const { bytes } = this;
    expect(Ipv4.check(bytes, at, this.end)).toBe(true);
    this.verify(Checksum.sum(bytes, at, Ipv4.headerBytes(bytes, at), 0));
    this.note('ip', {
      dsfield: hex8(Ipv4.tos(bytes, at)),
      len: Ipv4.totalLength(bytes, at),
      id: hex16(Ipv4.identification(bytes, at)),
      'flags.df': bit(Ipv4.dontFragment(bytes, at)),
      ttl: Ipv4.ttl(bytes, at),
      proto: Ipv4.protocol(bytes, at),
      checksum: hex16(Ipv4.checksum(bytes, at)),
      src: Address.ipv4WordToText(Ipv4.src(bytes, at)),
      dst: Address.ipv4WordToText(Ipv4.dst(bytes, at)),
    });
    const upperAt = Ipv4.payloadAt(bytes, at);
    const upperEnd = Ipv4.endAt(bytes, at);
    const len = upperEnd - upperAt;
    const pseudo = Checksum.pseudoIpv4(bytes, at, Ipv4.protocol(bytes, at), len);
    this.upper(Ipv4.protocol(bytes, at), upperAt, upperEnd, whole ? pseudo : -1);
  }

  private ipv6(at: number): void {
    const { bytes, end } = this;
    expect(Ipv6.check(bytes, at, end)).toBe(true);
    this.note('ipv6', {
      tclass: `0x${Ipv6.trafficClass(bytes, at).toString(16).padStart(8, '0')}`,
      flow: `0x${Ipv6.flowLabel(bytes, at).toString(16).padStart(6, '0')}`,
      plen: Ipv6.payloadLength(bytes, at),
      nxt: Ipv6.nextHeader(bytes, at),
      hlim: Ipv6.hopLimit(bytes, at),
      src: Address.ipv6ToText(bytes, at + Ipv6.SRC_OFF),
      dst: Address.ipv6ToText(bytes, at + Ipv6.DST_OFF),
    });
    const upper = Ipv6.upper(bytes, at, end);
    const upperAt = at + Ipv6.upperOff(upper);
    const protocol = Ipv6.upperProtocol(upper);
    const upperEnd = Ipv6.endAt(bytes, at);
    this.upper(protocol, upperAt, upperEnd, Checksum.pseudoIpv6(bytes, at, protocol, upperEnd - upperAt));
  }

  private upper(protocol: number, at: number, end: number, pseudo: number): void {
    const sum = () => Checksum.sum(this.bytes, at, end - at, pseudo);
    if (protocol === Ipv4.PROTOCOL_UDP) {
      if (pseudo >= 0 && Udp.checksum(this.bytes, at) !== Udp.NO_CHECKSUM) this.verify(sum());
      this.udp(at, end);
    } else if (protocol === Ipv4.PROTOCOL_TCP) {
      this.verify(sum());
      this.tcp(at, end);
    } else {
      expect(protocol).toBe(Ipv4.PROTOCOL_ICMP);
      this.icmp(at, end);
    }
  }

  private udp(at: number, end: number): void {
    const { bytes } = this;
    expect(Udp.check(bytes, at, end)).toBe(true);
    this.note('udp', {
      srcport: Udp.srcPort(bytes, at),
      dstport: Udp.dstPort(bytes, at),
      length: Udp.length(bytes, at),
      checksum: hex16(Udp.checksum(bytes, at)),
    });
    if (String(Udp.dstPort(bytes, at)) === VXLAN_PORT) this.vxlan(Udp.payloadAt(at));
  }

  private vxlan(at: number): void {
    const { bytes } = this;
    expect(Vxlan.check(bytes, at, this.end) && Vxlan.hasVni(bytes, at)).toBe(true);
    expect(Vxlan.reservedAreZero(bytes, at)).toBe(true);
    // tshark shows the first two bytes as flags.
    this.note('vxlan', { flags: hex16(Vxlan.flags(bytes, at) << 8), vni: Vxlan.vni(bytes, at) });
    this.ethernet(Vxlan.payloadAt(at));
  }

  private tcp(at: number, end: number): void {
    const { bytes } = this;
    expect(Tcp.check(bytes, at, end)).toBe(true);
    this.note('tcp', {
      srcport: Tcp.srcPort(bytes, at),
      dstport: Tcp.dstPort(bytes, at),
      seq_raw: Tcp.sequence(bytes, at) >>> 0,
      ack_raw: Tcp.acknowledgement(bytes, at) >>> 0,
      hdr_len: Tcp.headerBytes(bytes, at),
      flags: hex16(Tcp.flags(bytes, at)),
      window_size_value: Tcp.window(bytes, at),
      checksum: hex16(Tcp.checksum(bytes, at)),
      urgent_pointer: Tcp.urgent(bytes, at),
    });
  }

  private icmp(at: number, end: number): void {
    const { bytes } = this;
    expect(Icmp.check(bytes, at, end) && Icmp.checksumIsRight(bytes, at, end - at)).toBe(true);
    this.verified++;
    this.note('icmp', {
      type: Icmp.type(bytes, at),
      code: Icmp.code(bytes, at),
      checksum: hex16(Icmp.checksum(bytes, at)),
    });
    if (Icmp.isError(bytes, at)) this.ipv4(at + Icmp.HEADER_BYTES, false);
    else this.note('icmp', { ident: Icmp.identifier(bytes, at), seq: Icmp.sequence(bytes, at) });
  }
}

describe.each([
  ['kernel-vxlan', 21],
  ['kernel-vxlan-nocsum', 21],
  ['kernel-vxlan6', 23],
  ['ovs-vxlan', 10],
])('%s', (name, frames) => {
  it('is read as tshark reads it, with every checksum right', () => {
    const rows = tsharkRows(`${name}.tsv`);
    const records = readAll(captureBytes(`${name}.pcap`));
    expect(records.length).toBe(frames);
    expect(rows.length).toBe(frames);
    records.forEach((record, i) => {
      const explained = new Explained(record.data);
      explained.ethernet(0);
      const read: Record<string, string> = {
        'frame.time_epoch': timeText(record),
        'frame.len': String(record.original),
      };
      for (const [field, values] of Object.entries(explained.fields)) read[field] = values.join(',');
      const expected = Object.fromEntries(Object.entries(rows[i]).filter(([, value]) => value !== ''));
      expect(read, `frame ${i + 1}`).toEqual(expected);
      expect(explained.verified).toBeGreaterThan(0);
    });
  });
});
