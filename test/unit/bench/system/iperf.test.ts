import { describe, expect, it } from 'vitest';
import { parseIperf } from '../../../../bench/system/iperf.js';

describe("iperf3's report", () => {
  it('gives what the receiver got', () => {
    const end = {
      sum_sent: { bytes: 600, bits_per_second: 9e9, retransmits: 7 },
      sum_received: { bytes: 2_500_000_000, bits_per_second: 5e9 },
    };
    expect(parseIperf(JSON.stringify({ start: {}, end }))).toEqual({ gbitPerSec: 5, gigabytes: 2.5, retransmits: 7 });
  });

  it('says what iperf3 complains of', () => {
    const text = JSON.stringify({ end: {}, error: 'unable to connect to server: No route to host' });
    expect(() => parseIperf(text)).toThrow('iperf3: unable to connect to server: No route to host');
  });

  it('without a result is an error', () => {
    expect(() => parseIperf('{"end":{}}')).toThrow(/no result/);
    expect(() => parseIperf('')).toThrow();
  });
});
