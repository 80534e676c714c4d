// A small reader and writer of capture files for tests, apart from the one under src/, so that neither can hide the other's mistakes.
import { readFileSync, writeFileSync } from 'node:fs';

const PCAP_MAGIC = 0xa1b2c3d4;
const PCAP_MAGIC_NS = 0xa1b23c4d;
const PCAPNG_SECTION = 0x0a0d0d0a;
const PCAPNG_PACKET = 6;

function pcapFrames(file: Buffer): Buffer[] {
  const frames: Buffer[] = [];
  for (let at = 24; at < file.length; ) {
    const captured = file.readUInt32LE(at + 8);
    frames.push(file.subarray(at + 16, at + 16 + captured));
    at += 16 + captured;
  }
  return frames;
}

function pcapngFrames(file: Buffer): Buffer[] {
  const frames: Buffer[] = [];
  for (let at = 0; at < file.length; at += file.readUInt32LE(at + 4)) {
    if (file.readUInt32LE(at) !== PCAPNG_PACKET) continue;
    const captured = file.readUInt32LE(at + 20);
    frames.push(file.subarray(at + 28, at + 28 + captured));
  }
  return frames;
}

/** Frames of a capture file, pcap or pcapng, little-endian. */
export function readFrames(path: string): Buffer[] {
  const file = readFileSync(path);
  const magic = file.readUInt32LE(0);
  if (magic === PCAPNG_SECTION) return pcapngFrames(file);
  if (magic === PCAP_MAGIC || magic === PCAP_MAGIC_NS) return pcapFrames(file);
  throw new Error(`${path} is neither a pcap nor a pcapng file of a little-endian machine`);
}

/** Link types: Ethernet frames, and packets that begin with an IP header. */
export const LINK_ETHERNET = 1;
export const LINK_RAW = 101;

/** Writes frames as a pcap file (microseconds), a millisecond apart. */
export function writePcap(path: string, frames: readonly Uint8Array[], linkType = LINK_ETHERNET): void {
  const header = Buffer.alloc(24);
  header.writeUInt32LE(PCAP_MAGIC, 0);
  header.writeUInt16LE(2, 4);
  header.writeUInt16LE(4, 6);
  header.writeUInt32LE(262144, 16);
  header.writeUInt32LE(linkType, 20);
  const records = frames.flatMap((frame, i) => {
    const record = Buffer.alloc(16);
    record.writeUInt32LE(1 + Math.floor(i / 1000), 0);
    record.writeUInt32LE((i % 1000) * 1000, 4);
    record.writeUInt32LE(frame.length, 8);
    record.writeUInt32LE(frame.length, 12);
    return [record, frame];
  });
  writeFileSync(path, Buffer.concat([header, ...records]));
}

/** Rows of a table that tshark wrote with `-E header=y`: objects by field name. */
export function readTable(path: string): Record<string, string>[] {
  const [head, ...lines] = readFileSync(path, 'utf8').trimEnd().split('\n');
  const names = head.split('\t');
  return lines.map((line) => {
    const values = line.split('\t');
    return Object.fromEntries(names.map((name, i) => [name, values[i] ?? '']));
  });
}
