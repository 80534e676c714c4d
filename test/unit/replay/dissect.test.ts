import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Dissection, dissect, summary } from '../../../src/replay/dissect.js';
import { arpRequest, ethernet, ip, join, outer, tcp, u16, udp, vxlan } from '../../rig/frames.js';

const ETHERNET = 1;
const RAW = 101;

const layersOf = ({ layers }: Dissection) => layers.map((layer) => layer.name);
const valuesOf = ({ layers }: Dissection) =>
  Object.fromEntries(layers.flatMap((layer) => layer.fields.map((field) => [field.name, field.value])));

/** RFC 8926: two options of 4 and 0 bytes of data, protocol type Transparent Ethernet Bridging, VNI 7. */
const geneve = (inner: ArrayLike<number>) => join('03 40 6558 000007 00', '0102 80 01 00010002', '014b 01 00', inner);

describe('dissect', () => {
  it('names fields of nested headers as tshark does, repeats with their number', () => {
    const inner = udp({ src: 1, dst: 2, sport: 7, dport: 9, payload: 3 });
    const packet = dissect(outer({ src: '198.18.0.2', dst: '198.18.0.1', sport: 50000 }, vxlan(42, inner)), ETHERNET);
    expect(layersOf(packet)).toEqual(['eth', 'ip', 'udp', 'vxlan', 'eth', 'ip', 'udp', 'data']);
    expect(valuesOf(packet)).toMatchObject({
      'eth.dst': '02:00:00:00:0a:01',
      'eth.type': '0x0800 (IPv4)',
      'ip.src': '198.18.0.2',
      'ip.proto': '17 (UDP)',
      'udp.srcport': '50000',
      'udp.dstport': '4789',
      'vxlan.flags': '0x0800',
      'vxlan.vni': '42',
      'eth.dst#2': '02:00:00:00:00:02',
      'ip.src#2': '10.0.0.1',
      'ip.flags.df#2': '1',
      'udp.dstport#2': '9',
    });
    expect(packet.notes).toEqual([]);
    expect(summary(packet)).toBe('eth ip udp vxlan eth ip udp, 10.0.0.1 > 10.0.0.2');
  });

  it('says where fields stand, also those of a few bits', () => {
    const packet = dissect(ethernet({ tags: [[0x8100, 0x6abc]] }, 0x0800, tcp().subarray(14)), ETHERNET);
    const field = (name: string) => packet.layers.flatMap((l) => l.fields).find((f) => f.name === name);
    expect(field('vlan.id')).toMatchObject({ value: String(0xabc), at: 14, len: 2, bits: 0xfff });
    expect(field('vlan.priority')).toMatchObject({ value: '3', at: 14, len: 2, bits: 0xe000 });
    expect(field('ip.ttl')).toMatchObject({ value: '64', at: 18 + 8, len: 1, bits: -1 });
    expect(field('tcp.flags')).toMatchObject({ value: '0x010 (ACK)', at: 18 + 20 + 12, len: 2 });
  });

  it('shows each Geneve option', () => {
    const packet = dissect(outer({ dport: 6081 }, geneve(arpRequest(3))), ETHERNET);
    expect(layersOf(packet)).toEqual(['eth', 'ip', 'udp', 'geneve', 'eth', 'arp']);
    expect(valuesOf(packet)).toMatchObject({
      'geneve.vni': '7',
      'geneve.flags.critical': '1',
      'geneve.option': 'class 0x0102 type 0x80 data 00010002',
      'geneve.option#2': 'class 0x014b type 0x01 data -',
      'arp.opcode': '1 (request)',
    });
  });

  it('reads bare IP packets, and packets of unknown link types as data', () => {
    expect(layersOf(dissect(tcp({ family: 6 }).subarray(14), RAW))).toEqual(['ipv6', 'tcp']);
    expect(layersOf(dissect(tcp(), 147))).toEqual(['data']);
    expect(summary(dissect(tcp(), 147))).toBe('data');
  });

  it('reads extension headers and fragments of IPv6', () => {
    const extensions = [
      { number: 60, bytes: join('00 00 0104 00000000') },
      { number: 44, bytes: join('00 00 0001 12345678') },
    ];
    const packet = dissect(udp({ family: 6, extensions, payload: 8 }), ETHERNET);
    expect(valuesOf(packet)).toMatchObject({
      'ipv6.dstopts.nxt': '44',
      'ipv6.fraghdr.offset': '0',
      'ipv6.fraghdr.more': '1',
      'ipv6.fraghdr.ident': '0x12345678',
      'udp.length': '16',
    });
    extensions[1].bytes.set(u16(0x0100), 2);
    expect(layersOf(dissect(udp({ family: 6, extensions, payload: 8 }), ETHERNET))).toEqual(['eth', 'ipv6', 'data']);
  });

  it('has the same fields without their values', () => {
    const bytes = outer({ dport: 6081 }, geneve(tcp({ family: 6, payload: 3 })));
    const places = ({ layers }: Dissection) => layers.map(({ fields }) => fields.map(({ value, ...place }) => place));
    expect(places(dissect(bytes, ETHERNET, { values: false }))).toEqual(places(dissect(bytes, ETHERNET)));
  });

  it('shows padding behind the packet as a trailer', () => {
    const values = valuesOf(dissect(udp({ trailer: 3 }), ETHERNET));
    expect(values['eth.trailer']).toBe('ee ee ee');
  });

  it('ends in a note at what is too short or says what is not true', () => {
    expect(dissect(join('0200'), ETHERNET).notes).toEqual(['eth: 14 bytes needed at byte 0, 2 there']);
    const short = udp({ payload: 20 });
    expect(dissect(short.subarray(0, short.length - 1), ETHERNET).notes).toEqual([
      'ip: 48 bytes by its length, 47 there',
      'udp: 28 bytes by its length, 27 there',
    ]);
  });

  it('stops in a packet of nothing but headers', () => {
    let bomb: Uint8Array = join('0000 6558');
    for (let i = 0; i < 100; i++) bomb = join(bomb, '020000000001 020000000002 6558');
    const packet = dissect(ip({}, 47, bomb), ETHERNET);
    expect(packet.layers.length).toBeLessThan(40);
    expect(packet.notes).toContain('more than 32 layers');
  });

  // A difference between two packets must show in a field.
  it('has every byte of a packet in a field, cut off anywhere', () => {
    const whole = [
      outer({}, vxlan(1, tcp({ family: 6, tcpOptions: join('0101 080a 00000001 00000002'), payload: 9 }))),
      outer({ dport: 6081, trailer: 2 }, geneve(arpRequest(1))),
      ip({}, 47, join('b000 6558 1234 0000 0000002a 00000001', udp({ options: join('01010101') }))),
      udp({ family: 6, extensions: [{ number: 44, bytes: join('00 00 0001 12345678') }], payload: 8 }),
    ];
    for (const packet of whole)
      for (let len = 0; len <= packet.length; len++) expect(bytesWithoutField(packet.subarray(0, len))).toEqual([]);
  });

  it('never throws and leaves no byte out, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.constantFrom(1, 101, 228, 229, 5), (bytes, linkType) => {
        expect(bytesWithoutField(bytes, linkType)).toEqual([]);
      }),
    );
  });
});

/** Offsets of bytes that have a bit which stands in no field. */
function bytesWithoutField(bytes: Uint8Array, linkType = ETHERNET): number[] {
  const covered = new Uint8Array(bytes.length);
  for (const { at, len, bits } of dissect(bytes, linkType).layers.flatMap((layer) => layer.fields))
    for (let i = 0; i < len; i++) covered[at + i] |= len > 4 ? 0xff : (bits >>> ((len - 1 - i) * 8)) & 0xff;
  return Array.from(covered.keys()).filter((i) => covered[i] !== 0xff);
}
