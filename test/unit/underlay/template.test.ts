import { describe, expect, it } from 'vitest';
import {
  HEADERS_MAX,
  isKernelTemplate,
  TEMPLATE_END,
  TEMPLATE_PLAIN,
  TEMPLATE_TTL,
  TEMPLATE_UDP_CHECKSUM,
  TEMPLATE_V6,
  TEMPLATE_WORDS,
  type TemplateFields,
  templateLen,
  WORD_CHECKSUM,
  WORD_FLAGS,
  WORD_IP,
  WORD_IP_SUM,
  WORD_LEN,
  WORD_SEQUENCE,
  WORD_TUNNEL,
  WORD_UDP,
  WORD_UDP_SUM,
  writeTemplate,
} from '../../../src/underlay/template.js';
import { join, onesSum, toHex } from '../../rig/frames.js';

const link = { dstMac: join('0200000000aa'), srcMac: join('0200000000bb'), type: 0x0800 };
const ip = { src: join('c6120001'), dst: join('c6120002'), tos: 0xb8, ttl: 64, protocol: 17 };
const vxlan: TemplateFields = {
  link,
  ip,
  udpPort: 4789,
  udpChecksum: false,
  tunnel: join('08000000 12345600'),
  checksumOff: -1,
  sequenceOff: -1,
};
const six = { ...ip, src: join('fd00000000000000 0000000000000001'), dst: join('fd00000000000000 0000000000000002') };

function rowOf(rows: Int32Array, row: number): Uint8Array {
  return new Uint8Array(rows.buffer).slice(row * TEMPLATE_WORDS * 4, (row + 1) * TEMPLATE_WORDS * 4);
}

/** The bytes of one template over a row of 0xa5, and what it says of itself. */
function written(fields: TemplateFields) {
  const rows = new Int32Array(TEMPLATE_WORDS).fill(0xa5a5a5a5 | 0);
  writeTemplate(rows, 0, fields);
  const bytes = rowOf(rows, 0);
  const len = rows[WORD_LEN];
  return { rows, len, bytes, headers: bytes.slice(TEMPLATE_END - len, TEMPLATE_END) };
}

/** A sum as the template keeps it: of little-endian words, not folded. */
const littleSum = (bytes: Uint8Array) => {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += bytes[i] + bytes[i + 1] * 256;
  return sum;
};

describe('a template', () => {
  it('is Ethernet, IPv4, UDP and VXLAN, with what differs from packet to packet left at zero', () => {
    const { len, headers, bytes } = written(vxlan);
    const outer = join(
      '0200000000aa 0200000000bb 0800',
      // Total length, then id 0 with DF, then TTL and UDP, then checksum.
      '45b8 0000 0000 4000 40 11 0000 c6120001 c6120002',
      '0000 12b5 0000 0000',
      '08000000 12345600',
    );
    expect(toHex(headers)).toBe(toHex(outer));
    expect(len).toBe(14 + 20 + 8 + 8);
    expect(templateLen(vxlan)).toBe(50);
    expect(bytes.slice(0, TEMPLATE_END - len).every((b) => b === 0)).toBe(true);
  });

  it('is Ethernet, IPv6, UDP and Geneve', () => {
    const tunnel = join('0240 6558 00002a00 0102 80 01 00010002');
    const { headers, rows } = written({ ...vxlan, link: { ...link, type: 0x86dd }, ip: six, udpPort: 6081, tunnel });
    const outer = join(
      '0200000000aa 0200000000bb 86dd',
      // Version, traffic class and flow label; payload length, next header, hop limit.
      '6b800000 0000 11 40 fd000000000000000000000000000001 fd000000000000000000000000000002',
      '0000 17c1 0000 0000',
      tunnel,
    );
    expect(toHex(headers)).toBe(toHex(outer));
    expect([rows[WORD_IP], rows[WORD_UDP], rows[WORD_TUNNEL]]).toEqual([40 + 8 + 16, 8 + 16, 16]);
    expect(rows[WORD_FLAGS]).toBe(TEMPLATE_V6);
    expect(rows[WORD_IP_SUM]).toBe(0);
  });

  it('says how far back headers lie, and the fields that are filled in for each packet', () => {
    // Flags C, K and S: checksum at 4, key at 8, sequence number at 12.
    const gre = {
      ...vxlan,
      ip: { ...ip, protocol: 47 },
      udpPort: 0,
      tunnel: join('b0006558 00000000 00000007 00000000'),
    };
    const { rows, headers } = written({ ...gre, checksumOff: 4, sequenceOff: 12 });
    expect(headers).toHaveLength(14 + 20 + 16);
    expect([rows[WORD_IP], rows[WORD_UDP], rows[WORD_TUNNEL]]).toEqual([36, 0, 16]);
    expect([rows[WORD_CHECKSUM], rows[WORD_SEQUENCE]]).toEqual([12, 4]);
  });

  it('carries the sums that do not change', () => {
    const { rows, headers } = written(vxlan);
    const ipHeader = headers.slice(14, 34);
    expect(rows[WORD_IP_SUM]).toBe(littleSum(ipHeader));
    expect(rows[WORD_UDP_SUM]).toBe(littleSum(join(ipHeader.slice(12), [0, 17], [0x12, 0xb5])));
    const folded = rows[WORD_IP_SUM] % 0xffff;
    expect(((folded & 255) << 8) | (folded >> 8)).toBe(onesSum(ipHeader) % 0xffff);
    const overSix = written({ ...vxlan, ip: six });
    expect(overSix.rows[WORD_UDP_SUM]).toBe(littleSum(join(six.src, six.dst, [0, 17], [0x12, 0xb5])));
  });

  it('is the tunnel header alone where the kernel writes the others', () => {
    const { rows, headers } = written({ ...vxlan, link: null, ip: null });
    expect(toHex(headers)).toBe('0800000012345600');
    expect([rows[WORD_IP], rows[WORD_UDP], rows[WORD_FLAGS]]).toEqual([0, 0, 0]);
    expect(written({ ...vxlan, link: null, ip: null, tunnel: new Uint8Array(0) }).len).toBe(0);
  });

  it('is the link header alone for plain routed packets', () => {
    const { rows, headers } = written({ ...vxlan, ip: null, tunnel: new Uint8Array(0) });
    expect(toHex(headers)).toBe('0200000000aa0200000000bb0800');
    expect([rows[WORD_IP], rows[WORD_UDP]]).toEqual([0, 0]);
  });

  it('flags a UDP checksum and the inner TTL', () => {
    expect(written({ ...vxlan, udpChecksum: true }).rows[WORD_FLAGS]).toBe(TEMPLATE_PLAIN | TEMPLATE_UDP_CHECKSUM);
    expect(written({ ...vxlan, ip: { ...ip, ttl: 0 } }).rows[WORD_FLAGS]).toBe(TEMPLATE_TTL);
    // Without UDP there is nothing to sum.
    expect(written({ ...vxlan, udpPort: 0, udpChecksum: true }).rows[WORD_FLAGS]).toBe(0);
  });

  it('leaves the rows of others', () => {
    const rows = new Int32Array(3 * TEMPLATE_WORDS);
    writeTemplate(rows, 1, vxlan);
    expect(rowOf(rows, 0).every((b) => b === 0)).toBe(true);
    expect(rowOf(rows, 2).every((b) => b === 0)).toBe(true);
  });

  it('has the plain form with IPv4, UDP and eight bytes of tunnel, and no other', () => {
    const isPlain = (fields: Partial<TemplateFields>) =>
      (written({ ...vxlan, ...fields }).rows[WORD_FLAGS] & TEMPLATE_PLAIN) !== 0;
    expect(isPlain({})).toBe(true);
    expect(isPlain({ udpChecksum: true })).toBe(true);
    expect(isPlain({ ip: six })).toBe(false);
    expect(isPlain({ ip: { ...ip, ttl: 0 } })).toBe(false);
    expect(isPlain({ tunnel: new Uint8Array(12) })).toBe(false);
    // As long, but without UDP: GRE with checksum, key and sequence number.
    expect(isPlain({ udpPort: 0, tunnel: new Uint8Array(16) })).toBe(false);
  });

  it('is for the kernel where the tunnel itself has nothing that is summed or counted', () => {
    const isForKernel = (fields: Partial<TemplateFields>) => isKernelTemplate(written({ ...vxlan, ...fields }).rows, 0);
    expect(isForKernel({})).toBe(true);
    expect(isForKernel({ ip: six, tunnel: new Uint8Array(20) })).toBe(true);
    expect(isForKernel({ ip: { ...ip, ttl: 0 }, udpPort: 0 })).toBe(true);
    expect(isForKernel({ udpChecksum: true })).toBe(true);
    expect(isForKernel({ checksumOff: 4, tunnel: new Uint8Array(8) })).toBe(false);
    expect(isForKernel({ sequenceOff: 4, tunnel: new Uint8Array(8) })).toBe(false);
  });

  it('refuses headers that do not fit', () => {
    const room = HEADERS_MAX - 14 - 20 - 8;
    expect(written({ ...vxlan, tunnel: new Uint8Array(room).fill(7) }).headers).toHaveLength(HEADERS_MAX);
    expect(() => written({ ...vxlan, tunnel: new Uint8Array(room + 1) })).toThrow(RangeError);
  });
});
