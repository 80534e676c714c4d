import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { busiest } from '../../../../bench/dpdk/contestant.js';
import { findings, type Own } from '../../../../bench/dpdk/dpdkVxlan.js';
import { callMany, documentEnd, slowPackets } from '../../../../bench/dpdk/openVswitch.js';

describe('Open vSwitch', () => {
  it('is read by whole documents', () => {
    expect(documentEnd('{"id":0,"result":"a } \\" b"}{"id"')).toBe(28);
    expect(documentEnd('{"id":{"a":1}')).toBe(0);
    expect(documentEnd('')).toBe(0);
  });

  it('answers many commands over one connection', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'weft-calls-'));
    const path = join(folder, 'ovs.sock');
    const server = createServer((socket) => {
      socket.on('data', () => {
        for (const part of ['{"id":0,"result":"on', 'e","error":null}{"id":1,"result":"two","error":null}'])
          socket.write(part);
      });
    }).listen(path);
    expect(
      await callMany(path, [
        ['a', []],
        ['b', ['c']],
      ]),
    ).toEqual(['one', 'two']);
    server.close();
    rmSync(folder, { recursive: true });
  });

  it('tells what went the slow way', () => {
    const thread = (n: number) =>
      `  megaflow hits: 77\n  miss with success upcall: ${n}\n  miss with failed upcall: 2\n`;
    expect(slowPackets(`pmd thread\n${thread(5)}main thread\n${thread(10)}`)).toBe(19);
  });
});

describe('contestants', () => {
  it('are timed by their busiest thread, a new one too', () => {
    const before = new Map([
      ['1', 1000],
      ['2', 50],
    ]);
    expect(busiest(before, new Map([...before, ['2', 90]]))).toBe(40);
    expect(busiest(before, new Map([...before, ['3', 500]]))).toBe(500);
  });

  const seen = (...ns: number[]) => ns.map((nsPerPacket) => ({ mpps: 1, nsPerPacket }));
  const rivals = { fixed: seen(100, 300), normal: seen(200, 400), floor: seen(10, 20) };
  const heap = [
    { bytes: 1000, packets: 0 },
    { bytes: 6000, packets: 1000 },
  ];
  const own = (node: string, ...ns: number[]): Own => ({
    node,
    seen: seen(...ns),
    probed: { wholeNs: 40, ns: { rx: 15 }, heap },
  });

  it('are compared round by round, by processor time, with the floor and beyond it', () => {
    const { targets, tables } = findings([
      { direction: 'push', frameLen: 64, weft: [own('v20.1.2', 50, 100)], rivals },
    ]);
    expect(targets.map(({ value, limit }) => [value, limit])).toEqual([
      [2.5, 1.5],
      [4, 1.5],
      [5, 0.01],
    ]);
    // (100 - 10) / (50 - 10) and (300 - 20) / (100 - 20).
    expect(tables[0].rows).toContainEqual(['  Open vSwitch, a fixed flow', '1.00', '200.0', '6.67', '2.50', '2.88']);
    expect(tables[0].rows).toContainEqual(['  floor: the same devices, no work', '1.00', '15.0', '75.00', '0.20', '']);
    expect(tables[1].rows).toContainEqual(['  rx', '15.0']);
  });

  it('are compared with weft as each Node runs it', () => {
    const weft = [own('v20.1.2', 50, 100), own('v26.0.0', 100, 150)];
    const { targets, tables } = findings([{ direction: 'pop', frameLen: 64, weft, rivals }]);
    expect(targets.map(({ value }) => value)).toEqual([2.5, 4, 5, 1.5, (2 + 400 / 150) / 2, 5]);
    expect(targets[3].text).toContain('Node 26.0.0');
    const [, fixed] = tables[0].rows.filter((row) => /weft|fixed/.test(row[0])).slice(1);
    expect(fixed.slice(4)).toEqual(['2.50', '2.88', '1.50', cellOf(90 / 90, 280 / 130)]);
    expect(tables[1].columns).toEqual(['ns a packet', '64 B, Node 20.1.2', '64 B, Node 26.0.0']);
  });
});

const cellOf = (a: number, b: number) => ((a + b) / 2).toFixed(2);
