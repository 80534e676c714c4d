import { describe, expect, it } from 'vitest';
import { OUTER_BYTES, plainFrames, stationMac, tunnelFrames } from '../../../../bench/dpdk/captures.js';

/** RFC 1071: the sum over a header with its checksum is all ones. */
function sums(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += bytes.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

describe('frames of the benchmarks over DPDK', () => {
  const [first] = plainFrames(64, 1);

  it('are Ethernet, IPv4 and UDP of the length asked for', () => {
    expect(first.length).toBe(64);
    expect(first.toString('hex', 6, 24)).toBe('020100000000' + '0800' + '45000032' + '00000000' + '4011');
    expect(sums(first.subarray(14, 34))).toBe(0xffff);
    expect(first.readUInt16BE(38)).toBe(64 - 14 - 20);
  });

  it('are of many flows to many stations, the same in every run', () => {
    const frames = plainFrames(64, 10_000);
    const flows = new Set(frames.map((f) => f.toString('hex', 26, 38)));
    const stations = new Set(frames.map((f) => f.toString('hex', 0, 6)));
    expect(flows.size).toBeGreaterThan(9990);
    // Of 4000 that are drawn 10,000 times, 1 in e^2.5 is never drawn.
    expect(stations.size).toBeGreaterThan(3600);
    expect(stations.size).toBeLessThanOrEqual(4000);
    expect(Buffer.concat(frames).equals(Buffer.concat(plainFrames(64, 10_000)))).toBe(true);
  });

  it('come through the tunnel as VXLAN to the own endpoint', () => {
    const [frame] = tunnelFrames(512, 1);
    expect(frame.length).toBe(512 + 14 + 20 + 8 + 8);
    expect(frame.toString('hex', 0, 14)).toBe('020000009901' + '020000009902' + '0800');
    expect(frame.toString('hex', 26, 34)).toBe('c6120002' + 'c6120001');
    expect(sums(frame.subarray(14, 34))).toBe(0xffff);
    expect(frame.readUInt16BE(36)).toBe(4789);
    expect(frame.readUInt16BE(38)).toBe(512 + 8 + 8);
    // I flag, VNI 42 (RFC 7348).
    expect(frame.toString('hex', 42, 50)).toBe('08000000' + '00002a00');
    expect(frame.subarray(OUTER_BYTES)).toEqual(plainFrames(512, 1)[0]);
  });

  it('name stations by their number', () => {
    expect(stationMac(2, 0x0f9f)).toBe('02:02:00:00:0f:9f');
  });
});
