import { describe, expect, it } from 'vitest';
import {
  busySeconds,
  processSeconds,
  readBusySeconds,
  readProcessSeconds,
  residentMemory,
  voluntarySwitches,
} from '../../../../bench/system/processes.js';

// Columns of proc(5): user nice system idle iowait irq softirq steal guest guest_nice; ticks of 10 ms.
const STAT = `cpu  1000 200 300 99999 5555 40 60 7777 11 22
cpu0 500 100 150 50000 2000 20 30 3000 5 11
intr 12345 0 0
`;

const SMAPS = `00400000-00452000 r-xp 00000000 08:02 173521      /usr/bin/node
Size:                328 kB
Rss:                 300 kB
Pss:                 150 kB
VmFlags: rd ex mr mw me
7f0000000000-7f0000500000 rw-s 00000000 00:01 0
Size:               5120 kB
Rss:                1000 kB
Shared_Dirty:          8 kB
7f0100000000-7f0100500000 ---p 00000000 00:00 0
Size:               5120 kB
Rss:                   4 kB
7f0200000000-7f0200001000 rw-p 00000000 00:00 0          [heap]
Size:                  4 kB
Rss:                   4 kB
`;

describe('/proc/stat', () => {
  it('counts work, and neither idleness nor what the hypervisor took', () => {
    expect(busySeconds(STAT)).toBeCloseTo((1000 + 200 + 300 + 40 + 60) / 100, 9);
  });

  it('without the line of all CPUs is an error', () => {
    expect(() => busySeconds('intr 1\n')).toThrow(/all CPUs/);
  });

  it('of this machine grows', () => {
    expect(readBusySeconds()).toBeGreaterThan(0);
  });
});

describe('/proc/PID/stat', () => {
  it('gives user and system time of a process whatever its name', () => {
    // utime 250, stime 50 are fields 14 and 15 of proc(5).
    const line = '4242 (a ) b) S 1 4242 4242 0 -1 4194560 1000 0 0 0 250 50 0 0 20 0 11 0 777 1 2';
    expect(processSeconds(line)).toBeCloseTo(3, 9);
  });

  it('agrees with what this process knows of itself', () => {
    const { user, system } = process.cpuUsage();
    expect(readProcessSeconds(process.pid)).toBeGreaterThan((user + system) / 1e6 - 0.1);
  });
});

describe('/proc/PID/smaps', () => {
  it('sums what is resident, and finds the arena by its size', () => {
    expect(residentMemory(SMAPS, 0x500000)).toEqual({ rssBytes: 1308 * 1024, arenaBytes: 1000 * 1024 });
  });

  it('says so when no mapping has that size', () => {
    expect(residentMemory(SMAPS, 0x700000)).toEqual({ rssBytes: 1308 * 1024, arenaBytes: null });
  });
});

describe('/proc/PID/task/*/status', () => {
  it('counts voluntary switches over threads', () => {
    const status = (n: number) => `Name:\tnode\nvoluntary_ctxt_switches:\t${n}\nnonvoluntary_ctxt_switches:\t99\n`;
    expect(voluntarySwitches([status(3), status(40)])).toBe(43);
    expect(voluntarySwitches([])).toBe(0);
  });
});
