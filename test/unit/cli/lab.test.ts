import { describe, expect, it } from 'vitest';
import { median, parseIperf, parsePing } from '../../../src/cli/lab/measure.js';
import { createUndo } from '../../../src/cli/lab/undo.js';

describe('what the programs of the lab say', () => {
  it('ping', () => {
    const text = `PING 10.0.0.2 (10.0.0.2) 56(84) bytes of data.

--- 10.0.0.2 ping statistics ---
40 packets transmitted, 39 received, 2.5% packet loss, time 2105ms
rtt min/avg/max/mdev = 0.294/2.316/48.107/1.853 ms
`;
    expect(parsePing(text)).toEqual({ minMs: 0.294, avgMs: 2.316, maxMs: 48.107, sent: 40, received: 39 });
    expect(() => parsePing('40 packets transmitted, 0 received, 100% packet loss, time 2105ms\n')).toThrow(/no answer/);
  });

  it('iperf3', () => {
    const report = {
      end: { sum_sent: { bits_per_second: 5e9, retransmits: 3 }, sum_received: { bits_per_second: 4.5e9 } },
    };
    expect(parseIperf(JSON.stringify(report))).toEqual({ gbitPerSec: 4.5, retransmits: 3 });
    expect(() => parseIperf('{"error":"unable to connect to server"}')).toThrow(/unable to connect to server/);
    expect(() => parseIperf('', 'iperf3: no route')).toThrow(/no route/);
  });

  it('the middle of the rounds', () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([4, 1, 2, 3])).toBe(2.5);
  });
});

describe('undoing', () => {
  it('goes backwards and past failures', async () => {
    const undo = createUndo();
    const done: number[] = [];
    undo.add(() => done.push(1));
    undo.add(() => Promise.reject(new Error('stuck')));
    undo.add(async () => done.push(3));
    expect(await undo.run()).toEqual(['stuck']);
    expect(done).toEqual([3, 1]);
    expect(await undo.run()).toEqual([]);
  });

  it('may be given up', async () => {
    const undo = createUndo();
    undo.add(() => {
      throw new Error('not to be run');
    });
    undo.keep();
    expect(await undo.run()).toEqual([]);
  });
});
