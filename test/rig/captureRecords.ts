// Capture files with times, interfaces and options, written and read by hand: see captureFiles.ts for frames alone.
import { readFileSync, writeFileSync } from 'node:fs';

export interface TimedFrame {
  /** Microseconds since 1970. */
  micros: number;
  data: Uint8Array;
  /** Bytes on the wire, if the capture cut it. */
  original?: number;
}

/** A pcap file of microseconds, little-endian. */
export function pcapOf(frames: readonly TimedFrame[], linkType = 1): Buffer {
  const header = Buffer.alloc(24);
  header.writeUInt32LE(0xa1b2c3d4, 0);
  header.writeUInt16LE(2, 4);
  header.writeUInt16LE(4, 6);
  header.writeUInt32LE(262144, 16);
  header.writeUInt32LE(linkType, 20);
  return Buffer.concat([
    header,
    ...frames.flatMap(({ micros, data, original = data.length }) => {
      const record = Buffer.alloc(16);
      record.writeUInt32LE(Math.floor(micros / 1e6), 0);
      record.writeUInt32LE(micros % 1e6, 4);
      record.writeUInt32LE(data.length, 8);
      record.writeUInt32LE(original, 12);
      return [record, data];
    }),
  ]);
}

export function writeTimed(path: string, frames: readonly TimedFrame[], linkType = 1): string {
  writeFileSync(path, pcapOf(frames, linkType));
  return path;
}

export interface ReadRecord {
  /** Name of its interface; empty in a pcap file. */
  device: string;
  linkType: number;
  micros: number;
  data: string;
  comments: string[];
}

interface Described {
  device: string;
  linkType: number;
  perSecond: bigint;
}

function optionsOf(bytes: Buffer): { code: number; value: Buffer }[] {
  const options: { code: number; value: Buffer }[] = [];
  for (let at = 0; at + 4 <= bytes.length && bytes.readUInt16LE(at) !== 0; ) {
    const length = bytes.readUInt16LE(at + 2);
    options.push({ code: bytes.readUInt16LE(at), value: bytes.subarray(at + 4, at + 4 + length) });
    at += 4 + ((length + 3) & ~3);
  }
  return options;
}

function readPcapng(file: Buffer): ReadRecord[] {
  const interfaces: Described[] = [];
  const records: ReadRecord[] = [];
  for (let at = 0; at < file.length; at += file.readUInt32LE(at + 4)) {
    const type = file.readUInt32LE(at);
    const end = at + file.readUInt32LE(at + 4) - 4;
    if (type === 1) {
      const options = optionsOf(file.subarray(at + 16, end));
      const resolution = options.find((o) => o.code === 9)?.value[0] ?? 6;
      const device = options.find((o) => o.code === 2)?.value.toString() ?? '';
      interfaces.push({ device, linkType: file.readUInt16LE(at + 8), perSecond: 10n ** BigInt(resolution) });
    }
    if (type !== 6) continue;
    const { device, linkType, perSecond } = interfaces[file.readUInt32LE(at + 8)];
    const ticks = (BigInt(file.readUInt32LE(at + 12)) << 32n) | BigInt(file.readUInt32LE(at + 16));
    const captured = file.readUInt32LE(at + 20);
    const options = optionsOf(file.subarray(at + 28 + ((captured + 3) & ~3), end));
    records.push({
      device,
      linkType,
      micros: Number((ticks * 1_000_000n) / perSecond),
      data: file.subarray(at + 28, at + 28 + captured).toString('hex'),
      comments: options.filter((o) => o.code === 1).map((o) => o.value.toString()),
    });
  }
  return records;
}

function readPcap(file: Buffer): ReadRecord[] {
  const isNano = file.readUInt32LE(0) === 0xa1b23c4d;
  const linkType = file.readUInt32LE(20);
  const records: ReadRecord[] = [];
  for (let at = 24; at < file.length; at += 16 + file.readUInt32LE(at + 8)) {
    const fraction = file.readUInt32LE(at + 4);
    records.push({
      device: '',
      linkType,
      micros: file.readUInt32LE(at) * 1e6 + (isNano ? Math.floor(fraction / 1000) : fraction),
      data: file.subarray(at + 16, at + 16 + file.readUInt32LE(at + 8)).toString('hex'),
      comments: [],
    });
  }
  return records;
}

/** Records of a little-endian file. */
export function readRecords(path: string): ReadRecord[] {
  const file = readFileSync(path);
  return file.readUInt32LE(0) === 0x0a0d0d0a ? readPcapng(file) : readPcap(file);
}
