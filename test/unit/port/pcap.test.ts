import { execFileSync } from 'node:child_process';
import {
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { LARGE_DATA } from '../../../src/packet/arena.js';
import { WeftError } from '../../../src/packet/error.js';
import { bindPcapPorts } from '../../../src/port/pcap.js';
import { makeCaptureContext } from '../../rig/captureContext.js';
import { arpRequest, BROADCAST, join, noise, tcp, udp } from '../../rig/frames.js';
import { makeRig } from '../../rig/pipeline.js';
import { describeWith } from '../../rig/requirements.js';
import { segmentTwin } from '../../rig/segmentTwin.js';

const folder = mkdtempSync(joinPath(tmpdir(), 'weft-pcap-'));
afterAll(() => rmSync(folder, { recursive: true }));
let files = 0;
const path = (name = `${files++}.pcap`) => joinPath(folder, name);

const le32 = (n: number) => [n & 255, (n >>> 8) & 255, (n >>> 16) & 255, n >>> 24];

interface RecordFields {
  bytes: Uint8Array;
  seconds?: number;
  micros?: number;
  original?: number;
}

/** A classic pcap file, byte by byte. */
function pcap(records: RecordFields[], linkType = 1): Uint8Array {
  const header = join('d4c3b2a1 0200 0400 00000000 00000000', le32(262144), le32(linkType));
  return join(
    header,
    ...records.flatMap((r) => [
      [...le32(r.seconds ?? 0), ...le32(r.micros ?? 0), ...le32(r.bytes.length), ...le32(r.original ?? r.bytes.length)],
      r.bytes,
    ]),
  );
}

function write(bytes: Uint8Array): string {
  const file = path();
  writeFileSync(file, bytes);
  return file;
}

/** Blocks of a pcapng file that was written little-endian, and the data of its enhanced packet blocks. */
function readPcapng(file: string): { types: number[]; packets: { data: Uint8Array }[] } {
  const b = readFileSync(file);
  const types: number[] = [];
  const packets: { data: Uint8Array }[] = [];
  for (let at = 0; at < b.length; ) {
    const type = b.readUInt32LE(at);
    const length = b.readUInt32LE(at + 4);
    expect(length % 4).toBe(0);
    expect(b.readUInt32LE(at + length - 4), 'the length is repeated').toBe(length);
    types.push(type);
    if (type === 6) {
      const captured = b.readUInt32LE(at + 20);
      expect(b.readUInt32LE(at + 24)).toBe(captured);
      packets.push({ data: Uint8Array.from(b.subarray(at + 28, at + 28 + captured)) });
    }
    at += length;
  }
  return { types, packets };
}

/** A switch with a memory port and one over files. */
function fileRig(input: string | null, output: string | null) {
  return makeRig({
    ports: { a: { id: 1, network: 1 }, files: { id: 2, network: 1, kind: 'pcap', pcap: { input, output } } },
  });
}

/** Files of these tests that this process has open. */
const openFiles = () =>
  readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const target = readlinkSync(`/proc/self/fd/${fd}`);
      return target.startsWith(folder) || target === '/dev/full' ? [target] : [];
    } catch {
      return []; // That of readdir itself.
    }
  });

const frame = (n: number, payload = 40) => udp({ src: 5, dst: BROADCAST, sport: n, payload });

describe('a capture file as input', () => {
  it('is read frame by frame, in bursts of 64', () => {
    const frames = Array.from({ length: 150 }, (_, n) => frame(n, n));
    const rig = fileRig(write(pcap(frames.map((bytes) => ({ bytes })))), null);
    expect(rig.serve('files')).toBe(3);
    expect(rig.took('a')).toEqual(frames);
    expect(rig.row('port', 2).rxPackets).toBe(150);
  });

  it('of no records is at its end at once', () => {
    expect(fileRig(write(pcap([])), null).serve('files')).toBe(0);
    expect(fileRig(write(new Uint8Array(0)), null).serve('files')).toBe(0);
    expect(fileRig(null, null).serve('files')).toBe(0);
  });

  it('has frames that the capture cut, or that no slot holds, dropped as truncated', () => {
    const file = write(
      pcap([
        { bytes: frame(1).slice(0, 30), original: 82 },
        { bytes: noise(LARGE_DATA + 1) },
        { bytes: noise(262_144) },
        { bytes: frame(2) },
      ]),
    );
    const rig = fileRig(file, null);
    rig.serve('files');
    expect(rig.drops()).toEqual({ truncated: 3 });
    expect(rig.took('a')).toEqual([frame(2)]);
  });

  it('cut off at every length gives the whole frames in front of the cut, and no more', () => {
    const bytes = pcap([{ bytes: frame(1) }, { bytes: frame(2, 3) }, { bytes: frame(3) }]);
    const ends = [24 + 16 + 82, 24 + 32 + 82 + 45, bytes.length];
    for (let length = 0; length <= bytes.length; length++) {
      const rig = fileRig(write(bytes.slice(0, length)), null);
      rig.serve('files');
      expect(rig.took('a'), `${length} bytes`).toHaveLength(ends.filter((end) => end <= length).length);
      expect(rig.drops()).toEqual({});
      rig.check();
    }
  });

  it('that is damaged gives what stands in front of the damage', () => {
    const bytes = pcap([{ bytes: frame(1) }, { bytes: frame(2) }, { bytes: frame(3) }]);
    const second = 24 + 16 + frame(1).length;
    bytes.set(le32(0x7fffffff), second + 8);
    const rig = fileRig(write(bytes), null);
    expect(() => rig.serve('files')).not.toThrow();
    expect(rig.took('a')).toEqual([frame(1)]);
  });

  it('that is no capture, or not of Ethernet, gives nothing', () => {
    for (const bytes of [noise(500), pcap([{ bytes: frame(1) }], 101), join('0a0d0d0a', noise(60))]) {
      const rig = fileRig(write(bytes), null);
      rig.serve('files');
      expect(rig.delivered()).toEqual([]);
    }
  });
});

describe('a port over files by itself', () => {
  const open = (input: string | null, output: string | null) => {
    const context = makeCaptureContext();
    const opened = bindPcapPorts(context)({ id: 9, name: 'tape', input, output });
    return {
      ...context,
      pcap: opened,
      rx: () => {
        const n = opened.port.rx();
        opened.port.release(n);
        return n;
      },
    };
  };

  it('tells time and end of its input', () => {
    const { pcap: p, rx } = open(write(pcap([{ bytes: frame(1), seconds: 77, micros: 123_456 }])), null);
    expect([p.isAtEnd, p.seconds]).toEqual([false, 0]);
    expect(p.port.hasMore()).toBe(true);
    expect(rx()).toBe(1);
    expect([p.seconds, p.nanoseconds]).toEqual([77, 123_456_000]);
    expect([rx(), p.isAtEnd, p.port.hasMore(), p.error, p.isCutOff]).toEqual([0, true, false, null, false]);
    p.port.close();
  });

  it('tells what is wrong with its input', () => {
    const cut = open(write(pcap([{ bytes: frame(1) }]).slice(0, -1)), null).pcap;
    expect(cut.port.rx()).toBe(0);
    expect([cut.isAtEnd, cut.isCutOff, cut.error]).toEqual([true, true, null]);
    const wrong = open(write(pcap([{ bytes: frame(1) }], 101)), null).pcap;
    expect(wrong.port.rx()).toBe(0);
    expect(wrong.error).toBeInstanceOf(WeftError);
    expect(wrong.error).toMatchObject({ code: 'CAPTURE', object: 'port tape' });
    expect(wrong.error?.message).toMatch(/packets of raw IP, where Ethernet frames are wanted/);
    expect(open(write(noise(100)), null).pcap.port.rx()).toBe(0);
  });

  it('throws a named error when a file cannot be opened, and leaves no descriptor behind', () => {
    const before = openFiles();
    const input = write(pcap([]));
    expect(() => open(path('missing.pcap'), null)).toThrow(WeftError);
    for (const [from, to] of [
      [path('missing.pcap'), null],
      [input, joinPath(folder, 'no/such/folder')],
      [input, '/dev/full'],
    ]) {
      try {
        open(from, to);
        expect.unreachable();
      } catch (error) {
        expect(error).toMatchObject({
          code: 'CAPTURE',
          object: 'port tape',
          syscall: expect.stringMatching(/open|write/),
        });
        expect((error as WeftError).errno).toBeTypeOf('number');
      }
    }
    expect(openFiles()).toEqual(before);
  });

  it('sends to nowhere without an output', () => {
    const { pcap: p, outbox } = open(null, null);
    outbox.msgResult[0] = -99;
    expect(p.port.tx(1)).toBe(1);
    expect(outbox.msgResult[0]).toBeGreaterThanOrEqual(0);
  });
});

describe('a capture file as output', () => {
  it('has every frame that went out, as it went', () => {
    const out = path('out.pcapng');
    const rig = fileRig(null, out);
    const frames = [arpRequest(1), frame(2, 0), frame(3, 1400), frame(4, 1)];
    rig.from('a', frames);
    const { types, packets } = readPcapng(out);
    expect(types).toEqual([0x0a0d0d0a, 1, 6, 6, 6, 6]);
    expect(packets.map((p) => p.data)).toEqual(frames);
  });

  it('has the segments of a superframe: a file takes no offloads', () => {
    const out = path('cut.pcapng');
    const rig = fileRig(null, out);
    const frame = tcp({ src: 1, dst: BROADCAST, ipDst: 2, payload: 1500, checksum: 'unfinished' });
    rig.from('a', frame, { flags: 1, gsoType: 1, gsoSize: 400, csumStart: 34, csumOffset: 16 });
    expect(readPcapng(out).packets.map((p) => p.data)).toEqual(segmentTwin(frame, 400));
  });

  it('counts what it could not write', () => {
    const fifo = path('fifo');
    execFileSync('mkfifo', [fifo]);
    const reader = openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK);
    const rig = fileRig(null, fifo);
    rig.from('a', arpRequest(1));
    closeSync(reader);
    rig.from('a', [arpRequest(1), arpRequest(1)]);
    expect(rig.row('port', 2)).toMatchObject({ txPackets: 1, drops: { 'tx-error': 2 }, lastErrno: 32 });
  });
});

describeWith(['tshark'], 'tshark', () => {
  it('reads what the port wrote', () => {
    const out = path('tshark.pcapng');
    const rig = fileRig(write(pcap([{ bytes: frame(1), seconds: 1_700_000_000, micros: 250_000 }])), out);
    rig.serve('files');
    rig.took('a');
    rig.from('a', [arpRequest(1), frame(2, 1400)]);
    const args = [
      '-r',
      out,
      '-t',
      'e',
      '-T',
      'fields',
      '-e',
      'frame.time_epoch',
      '-e',
      'frame.len',
      '-e',
      'frame.protocols',
    ];
    const lines = execFileSync('tshark', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
      .trim()
      .split('\n');
    expect(lines.map((line) => line.split('\t').slice(1))).toEqual([
      ['60', 'eth:ethertype:arp'],
      ['1442', 'eth:ethertype:ip:udp:data'],
    ]);
    // No capture brought them: they have the time of day.
    for (const line of lines) expect(Math.abs(Number(line.split('\t')[0]) - Date.now() / 1000)).toBeLessThan(60);
  });
});
