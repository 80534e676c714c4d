// Frames that must not pass: each one is counted under its own reason, nothing comes out, and no slot stays away.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readFrames, writePcap } from '../rig/captureFiles.js';
import { type OuterFields, onesSum, outer as outerFrame, vxlan } from '../rig/frames.js';
import { replay } from './replay.js';

const SELF = '198.18.0.1';
const PEER = '198.18.0.2';
const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');
const PLAIN = hex('020000000001 020000000009 88b5 00112233');

interface Change extends OuterFields {
  /** First byte of the VXLAN header. */
  flags?: number;
  vni?: number;
}

/** A good frame from the peer, but for what is changed. */
function outer({ flags, vni, ...fields }: Change = {}, inner: Uint8Array = PLAIN): Buffer {
  const known = { src: PEER, dst: SELF, checksum: 'good' as const };
  return Buffer.from(outerFrame({ ...known, ...fields }, vxlan(vni ?? 42, inner, flags ?? 0x08)));
}

/** A copy with one byte changed. */
function poked(frame: Buffer, at: number, value: number): Buffer {
  const copy = Buffer.from(frame);
  copy[at] = value;
  return copy;
}

/** A copy whose IPv4 header was changed and given a checksum again. */
function repaired(frame: Buffer, at: number, value: number): Buffer {
  const copy = poked(frame, at, value);
  const headerEnd = 14 + 4 * Math.max(5, copy[14] & 15);
  copy.writeUInt16BE(0, 24);
  copy.writeUInt16BE(0xffff - onesSum(copy.subarray(14, headerEnd)), 24);
  return copy;
}

const ipv4Tos = (tos: string) =>
  hex(`020000000001 020000000009 0800 45${tos}0014 0000 4000 40 fd 0000 0a000001 0a000002`);
const NO_CHECKSUM = { checksum: 'zero' as const };

const unwelcome: { what: string; frame: Buffer; reason: string }[] = [
  { what: 'ARP on the underlay', frame: poked(outer(), 13, 0x06), reason: 'not-for-us' },
  { what: 'another IP version', frame: repaired(outer(), 14, 0x65), reason: 'malformed-outer' },
  { what: 'an IP header of 16 bytes', frame: repaired(outer(), 14, 0x44), reason: 'malformed-outer' },
  { what: 'an IP length behind the end', frame: repaired(outer(), 16, 0x01), reason: 'malformed-outer' },
  { what: 'a damaged IP header', frame: poked(outer(), 22, 0x11), reason: 'outer-checksum' },
  { what: 'a damaged VXLAN header', frame: poked(outer(), 45, 0x11), reason: 'outer-checksum' },
  { what: 'a damaged inner frame', frame: poked(outer(), 60, 0x11), reason: 'outer-checksum' },
  { what: 'TCP', frame: repaired(outer(), 23, 6), reason: 'not-for-us' },
  { what: 'another address', frame: outer({ dst: '198.18.0.9' }), reason: 'not-for-us' },
  { what: 'another port', frame: outer({ dport: 8472 }), reason: 'not-for-us' },
  { what: 'a first fragment', frame: outer({ fragment: 0x2000 }), reason: 'outer-fragment' },
  { what: 'a later fragment', frame: outer({ fragment: 0x0010 }), reason: 'outer-fragment' },
  { what: 'a UDP length of 7', frame: poked(outer(NO_CHECKSUM), 39, 7), reason: 'malformed-outer' },
  { what: 'a UDP length behind the end', frame: poked(outer(NO_CHECKSUM), 38, 9), reason: 'malformed-outer' },
  { what: 'a VXLAN header alone', frame: outer({}, Buffer.alloc(0)), reason: 'malformed-tunnel' },
  { what: 'no valid VNI', frame: outer({ flags: 0x00 }), reason: 'tunnel-flags' },
  { what: 'all flags but I', frame: outer({ flags: 0xf7 }), reason: 'tunnel-flags' },
  { what: 'an unknown VNI', frame: outer({ vni: 41 }), reason: 'unknown-vni' },
  { what: 'a stranger', frame: outer({ src: '198.18.0.9' }), reason: 'unknown-peer' },
  { what: 'an inner frame of 13 bytes', frame: outer({}, PLAIN.subarray(0, 13)), reason: 'malformed-frame' },
  {
    what: 'a VLAN tag that is cut off',
    frame: outer({}, hex('020000000001 020000000009 8100 60')),
    reason: 'malformed-frame',
  },
  { what: 'a multicast source', frame: outer({}, poked(PLAIN, 6, 0x03)), reason: 'invalid-source' },
  {
    what: 'a source of zeros',
    frame: outer({}, Buffer.concat([PLAIN.subarray(0, 6), Buffer.alloc(10)])),
    reason: 'invalid-source',
  },
  { what: 'LLDP', frame: outer({}, hex('0180c200000e 020000000009 88cc 0000')), reason: 'link-local-control' },
  { what: 'a congestion mark on a packet that knows none', frame: outer({ tos: 3 }, ipv4Tos('00')), reason: 'ecn' },
];

describe('frames that are dropped', () => {
  let folder: string;
  let input: string;
  let output: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'weft-golden-'));
    input = join(folder, 'outer.pcap');
    output = join(folder, 'inner.pcapng');
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  function receive(frames: Buffer[]) {
    writePcap(input, frames);
    const result = replay({ address: SELF, peers: [PEER], underlay: { input }, port: { output } });
    expect(result.account).toMatchObject({ received: frames.length, held: 0 });
    return { drops: result.drops, delivered: readFrames(output) };
  }

  it.each(unwelcome)('$what: $reason', ({ frame, reason }) => {
    expect(receive([outer(), frame, outer()])).toEqual({ drops: { [reason]: 1 }, delivered: [PLAIN, PLAIN] });
  });

  it('counts all of them in one burst', () => {
    const count: Record<string, number> = {};
    for (const { reason } of unwelcome) count[reason] = (count[reason] ?? 0) + 1;
    const { drops, delivered } = receive(unwelcome.flatMap(({ frame }) => [frame, outer()]));
    expect(drops).toEqual(count);
    expect(delivered).toEqual(unwelcome.map(() => PLAIN));
  });

  it('ignores reserved bits, as RFC 7348 wants', () => {
    const reserved = outer({ flags: 0xff, checksum: 'zero' });
    reserved.fill(0xff, 43, 46);
    reserved[49] = 0xff;
    expect(receive([reserved])).toEqual({ drops: {}, delivered: [PLAIN] });
  });

  it('takes IP options, and padding behind the IP packet', () => {
    const options = outer({ options: hex('01010101') });
    const padded = outer({ trailer: 9 });
    expect(receive([options, padded])).toEqual({ drops: {}, delivered: [PLAIN, PLAIN] });
  });

  it('delivers nothing of a frame that is cut off, at every length', () => {
    const whole = outer();
    const cut = Array.from({ length: whole.length }, (_, length) => whole.subarray(0, length));
    const { drops, delivered } = receive(cut);
    expect(delivered).toEqual([]);
    expect(Object.values(drops).reduce((sum, n) => sum + n, 0)).toBe(cut.length);
    expect(Object.keys(drops)).toEqual(['malformed-outer']);
  });
});
