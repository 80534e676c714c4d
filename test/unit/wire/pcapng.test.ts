import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import * as Pcap from '../../../src/wire/pcap.js';
import * as Pcapng from '../../../src/wire/pcapng.js';
import { describeWith } from '../../rig/requirements.js';
import { acceptedEnds, hex, MARGIN, range, toHex, unwritten } from './frames.js';

const NO_COMMENT = new Uint8Array(0);
const text = (value: string) => new TextEncoder().encode(value);

/** What `write` writes, when it writes from MARGIN on, leaves the margins alone and returns its end. */
function written(room: number, write: (bytes: Uint8Array, at: number) => number): string {
  const bytes = unwritten(room + 2 * MARGIN);
  const end = write(bytes, MARGIN);
  expect(toHex(bytes, 0, MARGIN) + toHex(bytes, end)).toMatch(/^(a5)*$/);
  return toHex(bytes, MARGIN, end);
}

const digits = (literal: string) => toHex(hex(literal));

describe('check', () => {
  const block = hex('05000000 14000000 0102030405060708 14000000');
  const check = (bytes: Uint8Array, at: number, end: number) => Pcapng.check(bytes, at, end, true);

  it('wants the whole block, at every length it is cut to', () => {
    expect(acceptedEnds(Uint8Array.of(...block, 0), check)).toEqual([20, 21]);
  });

  it('wants equal lengths at both ends, of 12 or more and in fours', () => {
    for (const len of range(0, 20)) {
      // Wherever the second length may be looked for, it is there.
      const other = new Uint8Array(Uint32Array.of(5, len, len, len, len).buffer);
      expect(check(other, 0, 20), `length ${len}`).toBe(len === 12 || len === 16 || len === 20);
    }
    const unequal = block.slice();
    unequal[19] = 1;
    expect(check(unequal, 0, 20)).toBe(false);
  });
});

describe('options', () => {
  // A comment of 3 bytes, an option of 4, the end, and one behind it
  const options = hex('0100 0300 41424300 0200 0400 01000000 0000 0000 0700 0000');
  const find = (code: number, end = options.length) => Pcapng.optionAt(options.slice(0, end), 0, end, true, code);

  it('are found by their code, up to the end option', () => {
    expect(find(1)).toBe(0);
    expect(Pcapng.optionBytes(options, 0, true)).toBe(3);
    expect(Pcapng.optionValueAt(0)).toBe(4);
    expect(find(2)).toBe(8);
    expect(find(7)).toBe(-1);
    expect(find(9)).toBe(-1);
  });

  it('are not found where they are cut', () => {
    expect(range(0, options.length).filter((end) => find(2, end) >= 0)).toEqual(range(16, options.length));
  });
});

describe('writing', () => {
  it('writes a section', () => {
    expect(written(64, (bytes, at) => Pcapng.write(bytes, at, 'weft'))).toBe(
      digits('0a0d0d0a 28000000 4d3c2b1a 0100 0000 ffffffffffffffff 0400 0400 77656674 0000 0000 28000000'),
    );
  });

  it('writes an interface with its name and a resolution of nanoseconds', () => {
    expect(written(64, (bytes, at) => Pcapng.writeInterface(bytes, at, Pcap.LINK_ETHERNET, 65535, 'tap0a'))).toBe(
      digits(`01000000 2c000000 0100 0000 ffff0000 0200 0500 7461703061000000
        0900 0100 09000000 0000 0000 2c000000`),
    );
  });

  it('writes a packet without options around data that is there already', () => {
    const data = hex('0102030405');
    const block = written(Pcapng.packetBytes(5, 0, 0, NO_COMMENT), (bytes, at) => {
      bytes.set(data, at + Pcapng.PACKET_DATA_OFF);
      return Pcapng.writePacket(bytes, at, 7, 1, 5, data.length, 1500, 0, 0, NO_COMMENT);
    });
    // 1,000,000,005 ns
    expect(block).toBe(
      digits('06000000 28000000 07000000 00000000 05ca9a3b 05000000 dc050000 0102030405000000 28000000'),
    );
  });

  it('writes a packet with a comment, a direction and a drop count', () => {
    const block = written(200, (bytes, at) => {
      return Pcapng.writePacket(bytes, at, 0, 0, 0, 0, 60, Pcapng.DIRECTION_OUT, 2 ** 32 + 3, text('why'));
    });
    expect(block).toBe(
      digits(`06000000 40000000 00000000 00000000 00000000 00000000 3c000000
        0100 0300 77687900 0200 0400 02000000 0400 0800 0300000001000000 0000 0000 40000000`),
    );
  });

  it('writes statistics', () => {
    expect(written(80, (bytes, at) => Pcapng.writeStatistics(bytes, at, 1, 4, 294_967_296, 1000, 2 ** 40))).toBe(
      digits(`05000000 34000000 01000000 01000000 00000000
        0400 0800 e803000000000000 0500 0800 0000000000010000 0000 0000 34000000`),
    );
  });

  it('needs the room that packetBytes says, for every mixture', () => {
    for (const captured of range(0, 9)) {
      for (const direction of [0, 1]) {
        for (const drops of [0, 9]) {
          for (const comment of ['', 'a', 'four', 'and more']) {
            const room = Pcapng.packetBytes(captured, direction, drops, text(comment));
            const bytes = unwritten(room + MARGIN);
            const end = Pcapng.writePacket(bytes, 0, 0, 1, 2, captured, captured, direction, drops, text(comment));
            expect(end).toBe(room);
            expect(Pcapng.check(bytes, 0, end, true)).toBe(true);
            expect(toHex(bytes, Pcapng.PACKET_DATA_OFF, Pcapng.PACKET_DATA_OFF + captured)).toBe('a5'.repeat(captured));
            expect(toHex(bytes, end)).toBe('a5'.repeat(MARGIN));
          }
        }
      }
    }
  });
});

describeWith(['tshark'], 'what tshark reads of a written file', () => {
  const frame = hex('ffffffffffff 020000000001 88b5 00');

  function read(write: (bytes: Uint8Array) => number, fields: string[]): string[][] {
    const folder = mkdtempSync(join(tmpdir(), 'weft-capture-'));
    try {
      const bytes = unwritten(4096);
      const file = join(folder, 'written');
      writeFileSync(file, bytes.subarray(0, write(bytes)));
      const args = ['-r', file, '-T', 'fields', ...fields.flatMap((field) => ['-e', field])];
      const { status, stdout, stderr } = spawnSync('tshark', args, { encoding: 'utf8' });
      expect(status, stderr).toBe(0);
      const lines = stdout.trimEnd().split('\n');
      return lines.map((line) => line.split('\t'));
    } finally {
      rmSync(folder, { recursive: true });
    }
  }

  it('pcapng: interfaces, times to the nanosecond, lengths, comment, direction and drops', () => {
    const write = (bytes: Uint8Array) => {
      let at = Pcapng.write(bytes, 0, 'weft');
      at = Pcapng.writeInterface(bytes, at, Pcap.LINK_ETHERNET, 0, 'web');
      at = Pcapng.writeInterface(bytes, at, Pcap.LINK_ETHERNET, 0, 'wan');
      bytes.set(frame, at + Pcapng.PACKET_DATA_OFF);
      at = Pcapng.writePacket(bytes, at, 1, 1795210457, 7_022_123, frame.length, 1514, 1, 5, text('no peer'));
      bytes.set(frame, at + Pcapng.PACKET_DATA_OFF);
      at = Pcapng.writePacket(bytes, at, 0, 1795210458, 999_999_999, frame.length, frame.length, 2, 0, NO_COMMENT);
      return Pcapng.writeStatistics(bytes, at, 0, 1795210459, 0, 2, 5);
    };
    const fields = ['frame.interface_name', 'frame.time_epoch', 'frame.cap_len', 'frame.len', 'frame.comment'];
    fields.push('frame.packet_flags_direction', 'frame.drop_count', 'eth.type');
    expect(read(write, fields)).toEqual([
      ['wan', '1795210457.007022123', '15', '1514', 'no peer', '0x00000001', '5', '0x88b5'],
      ['web', '1795210458.999999999', '15', '15', '', '0x00000002', '', '0x88b5'],
    ]);
  });

  it('pcap: times to the nanosecond, lengths, link type', () => {
    const write = (bytes: Uint8Array) => {
      let at = Pcap.write(bytes, 0, Pcap.LINK_ETHERNET, 65535);
      at = Pcap.writeRecord(bytes, at, 1795210457, 7_022_123, frame.length, 1514);
      bytes.set(frame, at);
      return at + frame.length;
    };
    expect(read(write, ['frame.time_epoch', 'frame.cap_len', 'frame.len', 'eth.type'])).toEqual([
      ['1795210457.007022123', '15', '1514', '0x88b5'],
    ]);
  });
});
