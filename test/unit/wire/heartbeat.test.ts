import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as Heartbeat from '../../../src/wire/heartbeat.js';
import { acceptedEnds, hex, MARGIN, range, toHex, unwritten } from './frames.js';

// Written by hand; the code is Python's: hmac.new(b'one key', header + struct.pack('>I', 42), 'sha256').digest()[:16]
const header = `77656674 01 01 0048 1122334455667788 a1a2a3a4a5a6a7a8
  00000000000000000000ffffc6120001 fffffffe 00000000 0000000000000000`;
const ping = hex(`${header} 94c69da160338a147a5a2589910a996a`);
const said: Heartbeat.Heartbeat = {
  type: Heartbeat.TYPE_PING,
  node: hex('1122334455667788'),
  instance: hex('a1a2a3a4a5a6a7a8'),
  home: hex('00000000000000000000ffffc6120001'),
  sequence: 0xfffffffe,
  heldUs: 0,
  to: hex('0000000000000000'),
};

describe('check', () => {
  it('wants the whole header, and the length that came', () => {
    const accepts = (bytes: Uint8Array, at: number, end: number) => Heartbeat.check(bytes, at, end, 72);
    expect(acceptedEnds(ping, accepts)).toEqual([72]);
    expect(acceptedEnds(hex(`${toHex(ping)}0000`), accepts)).toEqual(range(72, 74));
    for (const length of [0, 71, 73, 65535]) expect(Heartbeat.check(ping, 0, 72, length), `${length}`).toBe(false);
  });

  it('refuses other magics, versions and types', () => {
    for (const [at, value] of [
      [0, 0x78],
      [3, 0x75],
      [4, 0],
      [4, 2],
      [5, 0],
      [5, 3],
    ]) {
      const other = ping.slice();
      other[at] = value;
      expect(Heartbeat.check(other, 0, 72, 72), `byte ${at} is ${value}`).toBe(false);
    }
  });

  it('takes no random bytes', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => !Heartbeat.check(bytes, 0, bytes.length, 72)));
  });
});

it('reads every field', () => {
  expect(Heartbeat.read(ping, 0)).toEqual(said);
  const pong = hex(`${'00'.repeat(5)}02 1234 ${'00'.repeat(32)} 00000007 000f4240 8877665544332211 ${'00'.repeat(16)}`);
  expect(Heartbeat.type(pong, 0)).toBe(Heartbeat.TYPE_PONG);
  expect(Heartbeat.length(pong, 0)).toBe(0x1234);
  expect(Heartbeat.sequence(pong, 0)).toBe(7);
  expect(Heartbeat.heldUs(pong, 0)).toBe(1_000_000);
  expect(toHex(Heartbeat.read(pong, 0).to)).toBe('8877665544332211');
});

describe('writers', () => {
  it('write the header and its code, and nothing else', () => {
    const bytes = unwritten(72 + 2 * MARGIN);
    Heartbeat.write(bytes, MARGIN, said, 72);
    Heartbeat.sign(bytes, MARGIN, 'one key', 42);
    expect(toHex(bytes)).toBe(`${'a5'.repeat(MARGIN)}${toHex(ping)}${'a5'.repeat(MARGIN)}`);
  });

  it('write the headers in front', () => {
    const frame = unwritten(14 + MARGIN);
    Heartbeat.writeFrameHeader(frame, 0, hex('021234567890'));
    expect(toHex(frame)).toBe(`027765667400 021234567890 88b5 ${'a5'.repeat(MARGIN)}`.replace(/ /g, ''));
    const packet = unwritten(20 + MARGIN);
    Heartbeat.writePacketHeader(packet, 0, 72);
    expect(toHex(packet)).toBe(`4500005c0000400001fdd89bc0000008e0000001${'a5'.repeat(MARGIN)}`);
  });

  it('know their MAC in both shapes', () => {
    const view = new DataView(Heartbeat.MAC.buffer, Heartbeat.MAC.byteOffset);
    expect([view.getInt32(0, true), view.getUint16(4, true)]).toEqual([Heartbeat.MAC_LO, Heartbeat.MAC_HI]);
  });
});

describe('code', () => {
  it('holds for its key and network alone', () => {
    expect(Heartbeat.isSigned(ping, 0, 'one key', 42)).toBe(true);
    expect(Heartbeat.isSigned(ping, 0, 'another key', 42)).toBe(false);
    expect(Heartbeat.isSigned(ping, 0, '', 42)).toBe(false);
    expect(Heartbeat.isSigned(ping, 0, 'one key', 43)).toBe(false);
  });

  it('breaks with every bit of the header', () => {
    for (let bit = 0; bit < 72 * 8; bit++) {
      const other = ping.slice();
      other[bit >> 3] ^= 1 << (bit & 7);
      expect(Heartbeat.isSigned(other, 0, 'one key', 42), `bit ${bit}`).toBe(false);
    }
  });

  it('does not cover the padding, whose length it covers', () => {
    const padded = hex(`${toHex(ping)}0102`);
    expect(Heartbeat.isSigned(padded, 0, 'one key', 42)).toBe(true);
    expect(Heartbeat.check(padded, 0, 74, 74)).toBe(false);
  });
});
