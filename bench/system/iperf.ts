export interface IperfResult {
  gbitPerSec: number;
  /** Bytes that the receiver got, in gigabytes (10^9). */
  gigabytes: number;
  retransmits: number;
}

/** Reads iperf3's JSON report. */
export function parseIperf(text: string): IperfResult {
  const report = JSON.parse(text) as {
    error?: string;
    end?: { sum_received?: { bits_per_second: number; bytes: number }; sum_sent?: { retransmits?: number } };
  };
  const received = report.end?.sum_received;
  if (report.error !== undefined || received === undefined) throw new Error(`iperf3: ${report.error ?? 'no result'}`);
  return {
    gbitPerSec: received.bits_per_second / 1e9,
    gigabytes: received.bytes / 1e9,
    retransmits: report.end?.sum_sent?.retransmits ?? 0,
  };
}
