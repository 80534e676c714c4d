import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { captureStream } from '../../../src/observe/capture.js';
import type { Dataplane } from '../../../src/observe/dataplane.js';

type OnRecord = Parameters<Dataplane['capture']>[2];

function source(missed = 0) {
  const state: { record: OnRecord | null; snap: number } = { record: null, snap: 0 };
  const dataplane: Pick<Dataplane, 'capture'> = {
    capture(_port, snapLength, onRecord) {
      state.record = onRecord;
      state.snap = snapLength;
      return {
        started: Promise.resolve(),
        missed: () => missed,
        stop() {
          state.record = null;
        },
      };
    },
  };
  return { state, dataplane };
}

async function collect(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

const seconds = () => Number(process.hrtime.bigint()) / 1e9;
const hasTshark = spawnSync('tshark', ['--version']).status === 0;

describe('a capture stream', () => {
  it.skipIf(!hasTshark)('is a pcapng file for tshark, with directions and wall-clock times', async () => {
    const { state, dataplane } = source();
    const stream = captureStream('web', dataplane, 5);
    // An ARP request, padded to 60 bytes.
    const arp = new Uint8Array(60);
    arp.set(
      Buffer.from('ffffffffffff02000000000a08060001080006040001' + '02000000000a0a0000010000000000000a000002', 'hex'),
    );
    const before = Date.now() / 1000;
    state.record!({ direction: 'in', seconds: seconds(), originalLength: 60, bytes: arp });
    state.record!({ direction: 'out', seconds: seconds(), originalLength: 1500, bytes: arp.subarray(0, 42) });
    const after = Date.now() / 1000;
    stream.finish();
    const folder = mkdtempSync(join(tmpdir(), 'weft-capture-'));
    const path = join(folder, 'c.pcapng');
    writeFileSync(path, await collect(stream));
    const fields = [
      'frame.len',
      'frame.cap_len',
      'frame.time_epoch',
      'frame.packet_flags',
      'arp.dst.proto_ipv4',
      'frame.interface_name',
    ];
    const { stdout } = spawnSync('tshark', ['-r', path, '-T', 'fields', ...fields.flatMap((field) => ['-e', field])]);
    rmSync(folder, { recursive: true });
    const rows = stdout
      .toString()
      .trim()
      .split('\n')
      .map((line) => line.split('\t'));
    expect(
      rows.map(([len, captured, , direction, dst, name]) => [len, captured, Number(direction), dst, name]),
    ).toEqual([
      ['60', '60', 1, '10.0.0.2', 'web'],
      ['1500', '42', 2, '10.0.0.2', 'web'],
    ]);
    // Two clocks that are read one after the other.
    for (const [, , time] of rows) {
      expect(Number(time)).toBeGreaterThan(before - 1);
      expect(Number(time)).toBeLessThan(after + 1);
    }
  });

  it('has what still waited in the workers when it was ended, and stops them once', async () => {
    let stops = 0;
    let waiting: OnRecord | null = null;
    const stream = captureStream(
      'web',
      {
        capture: (_port, _snap, onRecord) => {
          waiting = onRecord;
          return {
            started: Promise.resolve(),
            missed: () => stops,
            stop() {
              stops++;
              waiting?.({ direction: 'out', seconds: seconds(), originalLength: 4, bytes: Uint8Array.of(1, 2, 3, 4) });
            },
          };
        },
      },
      5,
      { count: 3 },
    );
    stream.finish();
    const bytes = await collect(stream);
    stream.destroy();
    expect([stream.frames, stops, stream.missed()]).toEqual([1, 1, 1]);
    expect(bytes.includes(Buffer.of(1, 2, 3, 4))).toBe(true);
  });

  it('ends after its count', async () => {
    const { state, dataplane } = source();
    const stream = captureStream('web', dataplane, 5, { count: 1, snapLength: 64 });
    const record = state.record!;
    expect(state.snap).toBe(64);
    record({ direction: 'in', seconds: 1, originalLength: 60, bytes: new Uint8Array(60) });
    expect(state.record).toBeNull();
    record({ direction: 'in', seconds: 1, originalLength: 60, bytes: new Uint8Array(60) });
    await collect(stream);
    expect(stream.frames).toBe(1);
  });

  it('leaves frames out that its reader is too slow for, and says how many', () => {
    const { state, dataplane } = source(3);
    const stream = captureStream('web', dataplane, 5);
    const record = { direction: 'in' as const, seconds: 1, originalLength: 60000, bytes: new Uint8Array(60000) };
    for (let i = 0; i < 200; i++) state.record!(record);
    expect(stream.frames).toBeGreaterThan(100);
    expect(stream.frames).toBeLessThan(200);
    expect(stream.missed()).toBe(200 - stream.frames + 3);
    stream.destroy();
    expect(state.record).toBeNull();
  });
});
