// A report as replay() gives it, of numbers that add up.
import type { ReplayReport } from '../../../src/replay/options.js';

export function someReport(changes: Partial<ReplayReport> = {}): ReplayReport {
  return {
    version: 1,
    inputs: [
      { file: 'a.pcap', device: 'p', format: 'pcap', packets: 10, bytes: 1000, cut: 0, truncated: false, error: null },
    ],
    read: 10,
    received: 0,
    forwarded: 9,
    written: 9,
    unwritten: 0,
    dropped: { 'not-for-us': 2 },
    copied: 1,
    made: 0,
    consumed: 0,
    held: 0,
    outputs: [{ file: 'out.pcapng', device: 'lan', packets: 9, bytes: 1450 }],
    ports: [{ name: 'p', rxPackets: 10, rxBytes: 1000, txPackets: 0, txBytes: 0, dropped: {} }],
    underlays: [{ name: 'lan', rxPackets: 0, rxBytes: 0, txPackets: 9, txBytes: 1450, dropped: {} }],
    flows: 3,
    flowsAreMore: false,
    captureSeconds: 2.5,
    seconds: 0.25,
    mpps: 0.00004,
    stopped: false,
    ...changes,
  };
}
