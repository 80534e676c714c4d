import { describe, expect, it } from 'vitest';
import {
  drainCapture,
  missedRecords,
  RECORD_HEADER,
  RING_HEAD,
  RING_HEADER,
  RING_TAIL,
  runLength,
} from '../../../src/pipeline/capture.js';
import { ACK, arpRequest, BROADCAST, noise, PSH, tcp, toHex, udp } from '../../rig/frames.js';
import { makeRig, PEER_A, passSeconds, peer, type Rig } from '../../rig/pipeline.js';

const VNI = 41;
const CAPTURE_BYTES = 16 * 1024;
const RING_BYTES = CAPTURE_BYTES - RING_HEADER;

function captureRig(captured = 1): Rig {
  const rig = makeRig({
    ports: { a: { id: 1, network: 1 }, t: { id: 2, network: 1, kind: 'tap', vnetHdrLen: 12, offloads: 7 } },
    peers: [peer(1, 1, PEER_A)],
    shape: { captureBytes: CAPTURE_BYTES },
  });
  rig.pipeline.capture.key = captured;
  return rig;
}

interface Seen {
  direction: 'in' | 'out';
  seconds: number;
  originalLength: number;
  bytes: Uint8Array;
}

function drain(rig: Rig): Seen[] {
  const seen: Seen[] = [];
  const { arena } = rig.pipeline;
  const count = drainCapture(arena, arena.partitions[0], ({ bytes, ...rest }) =>
    seen.push({ ...rest, bytes: bytes.slice() }),
  );
  expect(count).toBe(seen.length);
  return seen;
}

const missed = (rig: Rig) => missedRecords(rig.pipeline.arena, rig.pipeline.arena.partitions[0]);
const frame = (n: number, payload = 100) =>
  udp({ src: 1, dst: BROADCAST, ipDst: 2, sport: n, payload: noise(payload, n + 1) });

describe('a capture', () => {
  it('has every frame of its port, in and out, with its time, and no other', () => {
    const rig = captureRig(1);
    rig.from('a', [frame(1), frame(2)]);
    passSeconds(rig, 2.5);
    rig.from('t', frame(3));
    rig.fromPeer(PEER_A, VNI, frame(4));
    const seen = drain(rig);
    expect(seen.map((s) => [s.direction, s.seconds, toHex(s.bytes)])).toEqual([
      ['in', 100, toHex(frame(1))],
      ['in', 100, toHex(frame(2))],
      ['out', 102.5, toHex(frame(3))],
      ['out', 102.5, toHex(frame(4))],
    ]);
    expect(drain(rig)).toEqual([]);
    rig.delivered();
  });

  it('has frames without their virtio-net header, superframes as they are, messages put together', () => {
    const rig = captureRig(2);
    rig.from('a', udp({ src: 5, dst: BROADCAST, ipDst: 1, payload: 3 }));
    rig.from('t', tcp({ src: 1, dst: 9, payload: 3000, checksum: 'unfinished' }), {
      flags: 1,
      gsoType: 1,
      gsoSize: 1000,
      csumStart: 34,
      csumOffset: 16,
    });
    rig.fromPeer(PEER_A, VNI, udp({ src: 9, dst: 1, payload: 1 }));
    const parts = [0, 1, 2].map((k) =>
      tcp({ src: 9, dst: 1, seq: k * 500, payload: noise(500, k), flags: k === 2 ? ACK | PSH : ACK }),
    );
    rig.fromPeer(PEER_A, VNI, parts);
    const seen = drain(rig);
    expect(seen.map((s) => s.direction)).toEqual(['out', 'in', 'out', 'out']);
    expect(seen[1].bytes).toEqual(tcp({ src: 1, dst: 9, payload: 3000, checksum: 'unfinished' }));
    expect(seen[3].originalLength).toBe(54 + 1500);
    expect(toHex(seen[3].bytes.slice(54))).toBe(parts.map((p) => toHex(p.slice(54))).join(''));
    rig.delivered();
  });

  it('is cut at its snap length, and says how long frames were', () => {
    const rig = captureRig(1);
    for (const snapLen of [0, 1, 13, 14, 60, 142, 143]) {
      rig.pipeline.capture.snapLen = snapLen;
      rig.from('a', frame(1));
      const back = udp({ src: 2, dst: BROADCAST, ipDst: 1, payload: 100 });
      rig.from('t', back);
      const seen = drain(rig);
      expect(seen.map((s) => [s.originalLength, toHex(s.bytes)])).toEqual(
        [frame(1), back].map((f) => [142, toHex(f.slice(0, snapLen))]),
      );
    }
    rig.delivered();
  });

  it('shows what is dropped as well: that is what one looks for', () => {
    const rig = captureRig(1);
    const bad = [Uint8Array.of(1, 2, 3), udp({ src: BROADCAST, dst: 2, payload: 2 })];
    rig.from('a', bad);
    expect(drain(rig).map((s) => s.bytes)).toEqual(bad);
    expect(rig.drops()).toEqual({ 'malformed-frame': 1, 'invalid-source': 1 });
  });

  it('ends when it is switched off', () => {
    const rig = captureRig(-1);
    rig.from('a', arpRequest(1));
    expect(drain(rig)).toEqual([]);
    rig.delivered();
  });
});

describe('the ring of a capture', () => {
  it('goes round: records of any length, over its end, many times', () => {
    const rig = captureRig(1);
    // The columns of rx positions lie behind the ring, and never change.
    const { bytes, partitions } = rig.pipeline.arena;
    const end = partitions[0].captureAt + CAPTURE_BYTES;
    const behind = bytes.slice(end, end + 1024);
    expect(behind.some((b) => b !== 0)).toBe(true);
    for (let n = 0; n < 600; n++) {
      const frames = [frame(n, (n * 37) % 1500), frame(n + 1, (n * 91) % 700)];
      rig.from('a', frames);
      expect(drain(rig).map((s) => toHex(s.bytes))).toEqual(frames.map(toHex));
    }
    expect(missed(rig)).toBe(0);
    expect(bytes.slice(end, end + 1024), 'bytes behind the ring').toEqual(behind);
    rig.delivered();
  });

  it('that is full loses the newest records, counts them, and goes on when it is read', () => {
    const rig = captureRig(1);
    const record = (RECORD_HEADER + 142 + 7) & ~7;
    const fit = Math.floor(RING_BYTES / record);
    const frames = Array.from({ length: fit + 20 }, (_, n) => frame(n));
    rig.from('a', frames);
    expect(missed(rig)).toBe(20);
    expect(drain(rig).map((s) => toHex(s.bytes))).toEqual(frames.slice(0, fit).map(toHex));
    rig.from('a', frame(7));
    expect(drain(rig).map((s) => toHex(s.bytes))).toEqual([toHex(frame(7))]);
    expect(missed(rig)).toBe(20);
    expect(rig.took('t')).toHaveLength(fit + 21);
  });

  it('takes no record that is longer than itself', () => {
    const rig = captureRig(2);
    rig.from('t', udp({ src: 1, dst: BROADCAST, ipDst: 2, payload: 20_000 }));
    expect(drain(rig)).toEqual([]);
    expect(missed(rig)).toBe(1);
    rig.delivered();
  });

  it('never writes over what was not read, also where its positions wrap', () => {
    const rig = captureRig(1);
    const { words, partitions } = rig.pipeline.arena;
    const header = partitions[0].captureAt >> 2;
    const wrapAt = runLength(partitions[0]);
    expect(wrapAt).toBeLessThanOrEqual(2 ** 31);
    for (const before of [8, 800, 5000, 12_344]) {
      words[header + RING_HEAD] = wrapAt - before;
      words[header + RING_TAIL] = wrapAt - before;
      // Each round with a full ring.
      for (let round = 0; round < 20; round++) {
        const missedBefore = missed(rig);
        const frames = Array.from({ length: 130 }, (_, n) => frame(n + round, (n * 13 + round) % 200));
        rig.from('a', frames);
        const seen = drain(rig).map((s) => toHex(s.bytes));
        // A short frame may still fit where a longer one did not.
        const kept = new Set(seen);
        expect(seen).toEqual(frames.map(toHex).filter((f) => kept.has(f)));
        expect(seen.length + missed(rig) - missedBefore).toBe(frames.length);
        expect(seen.length).toBeGreaterThan(50);
      }
    }
    rig.delivered();
  });
});
