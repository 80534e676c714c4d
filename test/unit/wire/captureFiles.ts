import { readFileSync } from 'node:fs';
import { CaptureReader } from '../../../src/wire/capture.js';

const folder = new URL('../../golden/captures/', import.meta.url);

export const captureBytes = (name: string) => new Uint8Array(readFileSync(new URL(name, folder)));

/** The rows that tshark wrote beside a capture: column to text, which is empty where a frame has no such field. */
export function tsharkRows(name: string): Record<string, string>[] {
  const [head, ...lines] = readFileSync(new URL(name, folder), 'utf8').trimEnd().split('\n');
  const columns = head.split('\t');
  return lines.map((line) => {
    const values = line.split('\t');
    return Object.fromEntries(columns.map((column, i) => [column, values[i] ?? '']));
  });
}

export interface ReadRecord {
  data: Uint8Array;
  seconds: number;
  nanoseconds: number;
  original: number;
  interfaceId: number;
  linkType: number;
  options: Uint8Array;
}

/** Everything that `reader` yields from a file that comes in chunks of `chunkBytes`. */
export function readAll(file: Uint8Array, chunkBytes = file.length || 1, reader = new CaptureReader()): ReadRecord[] {
  const records: ReadRecord[] = [];
  for (let at = 0; at < file.length; at += chunkBytes) {
    reader.feed(file.slice(at, at + chunkBytes));
    while (reader.next()) {
      const { bytes, dataAt, capturedBytes, seconds, nanoseconds, interfaceId, linkType } = reader;
      records.push({
        data: bytes.slice(dataAt, dataAt + capturedBytes),
        seconds,
        nanoseconds,
        original: reader.originalBytes,
        interfaceId,
        linkType,
        options: bytes.slice(reader.optionsAt, reader.optionsEnd),
      });
    }
  }
  return records;
}

/** As tshark prints a time. */
export const timeText = ({ seconds, nanoseconds }: { seconds: number; nanoseconds: number }) =>
  `${seconds}.${String(nanoseconds).padStart(9, '0')}`;
