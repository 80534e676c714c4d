import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as Capture from '../../../src/wire/capture.js';
import { CaptureError, CaptureReader } from '../../../src/wire/capture.js';
import * as Pcap from '../../../src/wire/pcap.js';
import * as Pcapng from '../../../src/wire/pcapng.js';
import { joined, pcapFile, pcapngParts } from './captureBuilder.js';
import { captureBytes, readAll, timeText, tsharkRows } from './captureFiles.js';
import { hex, range, toHex, unwritten } from './frames.js';

const text = (value: string) => new TextEncoder().encode(value);
const data = hex('0102030405');
const bothOrders = [
  ['little-endian', true],
  ['big-endian', false],
] as const;

const errorOf = (file: Uint8Array): CaptureError => {
  try {
    readAll(file);
  } catch (error) {
    expect(error).toBeInstanceOf(CaptureError);
    return error as CaptureError;
  }
  throw new Error('no error was thrown');
};

describe('files of other programs', () => {
  it('are read the same in chunks of any size', () => {
    for (const name of ['kernel-vxlan.pcap', 'merged.pcapng']) {
      const file = captureBytes(name);
      const whole = readAll(file);
      for (const chunkBytes of [1, 2, 3, 7, 16, 100, 1000, 4096]) expect(readAll(file, chunkBytes)).toEqual(whole);
    }
  });

  it('pcapng with two interfaces is read as tshark reads it', () => {
    const rows = tsharkRows('merged.tsv');
    const reader = new CaptureReader();
    const records = readAll(captureBytes('merged.pcapng'), 4096, reader);
    expect(reader.format).toBe(Capture.FORMAT_PCAPNG);
    expect(reader.interfaces).toHaveLength(2);
    const macOf = (frame: Uint8Array) => toHex(frame, 6, 12).replace(/..(?!$)/g, '$&:');
    const read = records.map((record) => ({
      'frame.interface_id': String(record.interfaceId),
      'frame.time_epoch': timeText(record),
      'frame.len': String(record.original),
      'eth.src': macOf(record.data),
    }));
    expect(read).toEqual(rows);
    const { options } = records[2];
    const at = Pcapng.optionAt(options, 0, options.length, true, Pcapng.OPTION_COMMENT);
    const valueAt = Pcapng.optionValueAt(at);
    expect(Buffer.from(options).toString('utf8', valueAt, valueAt + 12)).toBe('third packet');
    expect(Pcapng.optionAt(records[3].options, 0, records[3].options.length, true, 1)).toBe(-1);
  });
});

describe.each(bothOrders)('pcap, %s', (_, little) => {
  it('gives times to the nanosecond from micro- and nanoseconds', () => {
    for (const nano of [false, true]) {
      const records = [
        { seconds: 1795210457, fraction: 7022, data, original: 1514 },
        { seconds: 0xffff_ffff, fraction: 0, data: new Uint8Array(0), original: 60 },
      ];
      const [first, second] = readAll(pcapFile(little, nano, 101, records));
      expect(first).toMatchObject({ data, seconds: 1795210457, original: 1514, interfaceId: 0 });
      expect(first.nanoseconds).toBe(nano ? 7022 : 7_022_000);
      expect(first.linkType).toBe(Pcap.LINK_RAW);
      expect(second).toMatchObject({ seconds: 4294967295, nanoseconds: 0, original: 60 });
      expect(second.data).toHaveLength(0);
    }
  });

  it('carries a fraction of more than a second over', () => {
    const [record] = readAll(pcapFile(little, false, 1, [{ seconds: 5, fraction: 2_000_001, data, original: 5 }]));
    expect(record).toMatchObject({ seconds: 7, nanoseconds: 1000 });
  });

  it('refuses a record of an impossible length', () => {
    const file = pcapFile(little, false, 1, [{ seconds: 1, fraction: 2, data, original: 5 }]);
    const lengthAt = 24 + 8;
    const view = new DataView(file.buffer);
    for (const length of [Capture.CAPTURED_BYTES_MAX + 1, 0x7fff_ffff, 0xffff_ffff]) {
      view.setUint32(lengthAt, length, little);
      const error = errorOf(file);
      expect(error.message).toBe(`record of ${length} bytes, more than 262144, at byte 24 of the file`);
      expect(error.position).toBe(24);
    }
    view.setUint32(lengthAt, Capture.CAPTURED_BYTES_MAX, little);
    expect(readAll(joined(file, new Uint8Array(Capture.CAPTURED_BYTES_MAX - 5)))).toHaveLength(1);
  });
});

describe.each(bothOrders)('pcapng, %s', (_, little) => {
  const parts = pcapngParts(little);
  const section = parts.section();
  const ethernet = parts.interface(1, 0);

  it('reads interfaces: link type, snap length, name, resolution, offset', () => {
    const options = [
      parts.option(2, text('eth0')),
      parts.option(9, Uint8Array.of(9)),
      parts.option(14, little ? hex('feffffffffffffff') : hex('fffffffffffffffe')),
      parts.endOfOptions,
    ];
    const reader = new CaptureReader();
    const file = joined(section, parts.interface(1, 65535, ...options), parts.interface(101, 0));
    expect(readAll(file, file.length, reader)).toEqual([]);
    expect(reader.interfaces).toMatchObject([
      { linkType: 1, snapLength: 65535, name: 'eth0', resolution: 9, offsetSeconds: -2 },
      { linkType: 101, snapLength: 0, name: '', resolution: 6, offsetSeconds: 0 },
    ]);
  });

  it('reads packets of every kind of block', () => {
    const nano = parts.interface(101, 3, parts.option(9, Uint8Array.of(9)), parts.endOfOptions);
    const high = Math.floor(1795210457007022 / 2 ** 32);
    const low = 1795210457007022 % 2 ** 32;
    const file = joined(
      section,
      ethernet,
      nano,
      parts.packet(0, high, low, data, 1514, parts.option(1, text('why')), parts.endOfOptions),
      parts.packet(1, 0, 2_000_000_001, data, 5),
      parts.oldPacket(1, 3, 1, 0, data, 5),
      parts.simple(data, 5),
    );
    const records = readAll(file);
    expect(records).toMatchObject([
      { interfaceId: 0, linkType: 1, seconds: 1795210457, nanoseconds: 7_022_000, original: 1514, data },
      { interfaceId: 1, linkType: 101, seconds: 2, nanoseconds: 1, original: 5, data },
      { interfaceId: 1, linkType: 101, seconds: 4, nanoseconds: 294_967_296, original: 5, data },
      { interfaceId: 0, linkType: 1, seconds: 0, nanoseconds: 0, original: 5, data },
    ]);
    expect(records.map(({ options }) => options.length)).toEqual([12, 0, 0, 0]);
  });

  it('reads simple packets up to the snap length', () => {
    const file = joined(section, parts.interface(1, 3), parts.simple(data.slice(0, 3), 1514));
    expect(readAll(file)).toMatchObject([{ data: data.slice(0, 3), original: 1514 }]);
  });

  it('adds the offset of an interface to its times', () => {
    const option = parts.option(14, little ? hex('0a00000000000000') : hex('000000000000000a'));
    const file = joined(section, parts.interface(1, 0, option), parts.packet(0, 0, 5_000_001, data, 5));
    expect(readAll(file)).toMatchObject([{ seconds: 15, nanoseconds: 1000 }]);
  });

  it('starts anew at a section, also of the other byte order', () => {
    const other = pcapngParts(!little);
    const packet = parts.packet(0, 0, 0, data, 5);
    const second = joined(other.section(), other.interface(101, 0), other.packet(0, 0, 0, data, 6));
    const records = readAll(joined(section, ethernet, packet, second));
    expect(records.map(({ linkType, original }) => [linkType, original])).toEqual([
      [1, 5],
      [101, 6],
    ]);
    const forgotten = joined(section, ethernet, other.section(), other.packet(0, 0, 0, data, 5));
    expect(errorOf(forgotten).message).toContain('packet of interface 0, which the file does not describe');
  });

  it('skips blocks of other kinds, however long, in constant memory', () => {
    const packet = parts.packet(0, 0, 0, data, 5);
    const small = [4, 5, 10, 0x0bad, 0x8000_0001].map((type) => parts.block(type, hex('0102030405060708')));
    const long = parts.block(10, new Uint8Array(2 * Capture.BLOCK_BYTES_MAX));
    const file = joined(section, ethernet, ...small, packet, parts.block(0x40000bad, hex('')), packet);
    for (const chunkBytes of [1, 5, file.length]) expect(readAll(file, chunkBytes)).toHaveLength(2);
    const withLong = joined(section, ethernet, packet);
    const reader = new CaptureReader();
    readAll(withLong, withLong.length, reader);
    expect(readAll(long, 65536, reader)).toEqual([]);
    expect(reader.truncated).toBe(false);
    expect(readAll(packet, packet.length, reader)).toHaveLength(1);
  });

  it('refuses blocks that contradict themselves', () => {
    const packet = parts.packet(0, 0, 0, data, 5);
    const at = section.length + ethernet.length;
    const changed = (offset: number, value: number) => {
      const file = joined(section, ethernet, packet);
      new DataView(file.buffer).setUint32(at + offset, value, little);
      return errorOf(file).message;
    };
    const where = `, at byte ${at} of the file`;
    expect(changed(4, 0)).toBe(`block length 0${where}`);
    expect(changed(4, 11)).toBe(`block length 11${where}`);
    expect(changed(4, 41)).toBe(`block length 41${where}`);
    expect(changed(4, 0xffff_fffc)).toBe(`block of 4294967292 bytes, more than 327680${where}`);
    expect(changed(4, 36)).toBe(`block length 36 is not repeated at its end${where}`);
    expect(changed(36, 44)).toBe(`block length 40 is not repeated at its end${where}`);
    expect(changed(20, 9)).toBe(`packet of 9 bytes in a block with 8 for it${where}`);
    expect(changed(20, 0xffff_ffff)).toBe(`packet of 4294967295 bytes, more than 262144${where}`);
    expect(changed(8, 1)).toBe(`packet of interface 1, which the file does not describe${where}`);
  });

  it('refuses what it can not make sense of', () => {
    const failure = (...blocks: Uint8Array[]) => errorOf(joined(...blocks)).message;
    const unknownOrder = section.slice();
    unknownOrder[8] = 0;
    expect(failure(unknownOrder)).toMatch(/^unknown byte order of a section/);
    expect(failure(parts.section(2))).toMatch(/^pcapng version 2 is not known/);
    expect(failure(section, parts.simple(data, 5))).toMatch(/^packet of interface 0/);
    expect(failure(section, parts.block(1, hex('')))).toMatch(/^interface block of 12 bytes/);
    expect(failure(section, ethernet, parts.block(6, hex('00')))).toMatch(/^packet block of 16 bytes/);
    expect(failure(section, ethernet, parts.block(3, hex('')))).toMatch(/^simple packet block of 12 bytes/);
    const tooFine = parts.interface(1, 0, parts.option(9, Uint8Array.of(19)));
    expect(failure(section, tooFine)).toMatch(/^time resolution 19 of an interface is too fine/);
    const many = Array.from({ length: Capture.INTERFACES_MAX + 1 }, () => ethernet);
    expect(failure(section, ...many)).toMatch(/^more than 4096 interfaces/);
    const shortSection = parts.block(0x0a0d0d0a, parts.of(['u32', 0x1a2b3c4d]));
    expect(failure(shortSection)).toMatch(/^section block of 16 bytes/);
  });
});

describe('other files', () => {
  it('are refused by their first bytes', () => {
    expect(errorOf(hex('1f8b0800 00')).message).toBe(
      'not a pcap or pcapng file: it starts with 0x1f8b0800, at byte 0 of the file',
    );
    expect(errorOf(text('PKxx')).position).toBe(0);
    const version3 = pcapFile(true, false, 1, []);
    version3[4] = 3;
    expect(errorOf(version3).message).toMatch(/^pcap file of a version other than 2/);
  });

  it('that are empty have no format and are not cut off', () => {
    const reader = new CaptureReader();
    expect(readAll(hex(''), 1, reader)).toEqual([]);
    expect(reader.format).toBe(Capture.FORMAT_UNKNOWN);
    expect(reader.truncated).toBe(false);
  });
});

describe('a file cut off at any length', () => {
  const parts = pcapngParts(true);
  const packet = parts.packet(0, 0, 1, data, 5);
  const records = range(1, 3).map((n) => ({ seconds: n, fraction: n, data: data.slice(0, n), original: n }));
  const files = {
    pcap: { file: pcapFile(true, true, 1, records), ends: [24, 24 + 17, 24 + 17 + 18, 24 + 17 + 18 + 19] },
    pcapng: {
      file: joined(parts.section(), parts.interface(1, 0), packet, parts.block(9, data), packet),
      ends: [28, 48, 88, 108, 148],
    },
  };

  it.each(Object.entries(files))('%s: gives what is whole and says that it was cut', (name, { file, ends }) => {
    const recordEnds = name === 'pcap' ? ends.slice(1) : [88, 148];
    expect(ends.at(-1)).toBe(file.length);
    for (const length of range(0, file.length)) {
      for (const chunkBytes of [1, 13, file.length]) {
        const reader = new CaptureReader();
        const read = readAll(file.slice(0, length), chunkBytes, reader);
        expect(read.length).toBe(recordEnds.filter((end) => end <= length).length);
        expect(reader.truncated, `${length} bytes`).toBe(length !== 0 && !ends.includes(length));
      }
    }
  });
});

describe('what is written', () => {
  const record = fc.record({
    seconds: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    nanoseconds: fc.integer({ min: 0, max: 999_999_999 }),
    data: fc.uint8Array({ maxLength: 40 }),
    missing: fc.nat(2000),
    interfaceId: fc.nat(1),
    drops: fc.nat(2),
    direction: fc.nat(2),
    comment: fc.string({ maxLength: 9 }),
  });

  it('is read back, pcap and pcapng', () => {
    fc.assert(
      fc.property(fc.array(record, { maxLength: 8 }), fc.integer({ min: 1, max: 200 }), (records, chunkBytes) => {
        const pcap = unwritten(8192);
        let pcapEnd = Pcap.write(pcap, 0, Pcap.LINK_ETHERNET, 0);
        const pcapng = unwritten(8192);
        let end = Pcapng.write(pcapng, 0, 'weft');
        end = Pcapng.writeInterface(pcapng, end, Pcap.LINK_ETHERNET, 0, 'a');
        end = Pcapng.writeInterface(pcapng, end, Pcap.LINK_RAW, 0, 'b');
        for (const { seconds, nanoseconds, data, missing, interfaceId, direction, drops, comment } of records) {
          const { length } = data;
          const original = length + missing;
          pcapEnd = Pcap.writeRecord(pcap, pcapEnd, seconds, nanoseconds, length, original);
          pcap.set(data, pcapEnd);
          pcapEnd += length;
          pcapng.set(data, end + Pcapng.PACKET_DATA_OFF);
          const about = text(comment);
          end = Pcapng.writePacket(
            ...([pcapng, end, interfaceId, seconds, nanoseconds] as const),
            ...([length, original, direction, drops, about] as const),
          );
          end = Pcapng.writeStatistics(pcapng, end, interfaceId, seconds, nanoseconds, 1, drops);
        }
        const expected = records.map(({ seconds, nanoseconds, data, missing, interfaceId }) => {
          return { seconds, nanoseconds, data, original: data.length + missing, interfaceId };
        });
        expect(readAll(pcapng.slice(0, end), chunkBytes)).toMatchObject(expected);
        const ofPcap = expected.map((record) => ({ ...record, interfaceId: 0 }));
        expect(readAll(pcap.slice(0, pcapEnd), chunkBytes)).toMatchObject(ofPcap);
      }),
    );
  });
});

describe('hostile files', () => {
  it('end in records or in a CaptureError, never in anything else', () => {
    const files = ['ovs-vxlan.pcap', 'merged.pcapng'].map(captureBytes);
    const changes = fc.array(fc.tuple(fc.nat(1200), fc.nat(255)), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(
        fc.constantFrom(...files),
        changes,
        fc.integer({ min: 1, max: 600 }),
        (original, edits, chunkBytes) => {
          const file = original.slice(0, 1200);
          for (const [at, value] of edits) file[at % file.length] = value;
          try {
            for (const { data } of readAll(file, chunkBytes)) expect(data.length).toBeLessThanOrEqual(file.length);
          } catch (error) {
            if (!(error instanceof CaptureError)) throw error;
            expect(error.position).toBeLessThanOrEqual(file.length);
          }
        },
      ),
      { numRuns: 1000 },
    );
  });
});
