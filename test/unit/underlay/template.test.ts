import { describe, expect, it } from 'vitest';
import {
  OUTER_LEN,
  setNextHop,
  TEMPLATE_PAD,
  TEMPLATE_WORDS,
  WORD_IP_SUM,
  WORD_UDP_SUM,
  writeTemplate,
} from '../../../src/underlay/template.js';
import { join, onesSum, toHex } from '../../rig/frames.js';

const fields = {
  dstMac: join('0200000000aa'),
  srcMac: join('0200000000bb'),
  src: 0xc6120001 | 0,
  dst: 0xc6120002 | 0,
  dstPort: 4789,
  vni: 0x123456,
  tos: 0xb8,
  ttl: 64,
};

function rowOf(rows: Int32Array, peer: number): Uint8Array {
  return new Uint8Array(rows.buffer).slice(peer * TEMPLATE_WORDS * 4, (peer + 1) * TEMPLATE_WORDS * 4);
}

/** A sum as the template keeps it: of little-endian words, not folded. */
const littleSum = (bytes: Uint8Array) => {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += bytes[i] + bytes[i + 1] * 256;
  return sum;
};

describe('a template', () => {
  const rows = new Int32Array(3 * TEMPLATE_WORDS);
  writeTemplate(rows, 1, fields);
  const bytes = rowOf(rows, 1);

  it('is padding, then Ethernet, IPv4, UDP and VXLAN, with what differs from packet to packet left at zero', () => {
    const outer = join(
      '0200000000aa 0200000000bb 0800',
      // Total length, then id 0 with DF, then TTL and UDP, then checksum.
      '45b8 0000 0000 4000 40 11 0000 c6120001 c6120002',
      '0000 12b5 0000 0000',
      '08000000 12345600',
    );
    expect(toHex(bytes.slice(TEMPLATE_PAD, TEMPLATE_PAD + OUTER_LEN))).toBe(toHex(outer));
    expect(toHex(bytes.slice(0, TEMPLATE_PAD))).toBe('000000000000');
    expect(OUTER_LEN).toBe(14 + 20 + 8 + 8);
    expect(TEMPLATE_PAD + OUTER_LEN).toBe(14 * 4);
  });

  it('carries the sums that do not change', () => {
    const ip = bytes.slice(20, 40);
    expect(rows[TEMPLATE_WORDS + WORD_IP_SUM]).toBe(littleSum(ip));
    const pseudoAndPort = join(ip.slice(12), [0, 17], [0x12, 0xb5]);
    expect(rows[TEMPLATE_WORDS + WORD_UDP_SUM]).toBe(littleSum(pseudoAndPort));
    const folded = rows[TEMPLATE_WORDS + WORD_IP_SUM] % 0xffff;
    expect(((folded & 255) << 8) | (folded >> 8)).toBe(onesSum(ip) % 0xffff);
  });

  it('leaves the rows of other peers', () => {
    expect(rowOf(rows, 0).every((b) => b === 0)).toBe(true);
    expect(rowOf(rows, 2).every((b) => b === 0)).toBe(true);
  });

  it('takes a next hop in the place of the destination MAC and nowhere else', () => {
    const copy = rows.slice();
    setNextHop(copy, 1, join('fedcba987654'));
    const changed = rowOf(copy, 1);
    expect(toHex(changed.slice(6, 12))).toBe('fedcba987654');
    expect(changed.slice(12)).toEqual(bytes.slice(12));
    expect(toHex(changed.slice(0, 6))).toBe('000000000000');
  });
});
