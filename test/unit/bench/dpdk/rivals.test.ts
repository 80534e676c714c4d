import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { busiest } from '../../../../bench/dpdk/contestant.js';
import { findings, type Result } from '../../../../bench/dpdk/dpdkVxlan.js';
import { callMany, documentEnd, slowPackets } from '../../../../bench/dpdk/openVswitch.js';

describe('Open vSwitch', () => {
  it('is read by whole documents', () => {
    expect(documentEnd('{"id":0,"result":"a } \\" b"}{"id"')).toBe(28);
    expect(documentEnd('{"id":{"a":1}')).toBe(0);
    expect(documentEnd('')).toBe(0);
  });

  it('answers many commands over one connection', async () => {
    const path = join(tmpdir(), `weft-calls-${process.pid}.sock`);
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

  it('are compared round by round, by processor time', () => {
    const seen = (...ns: number[]) => ns.map((nsPerPacket) => ({ mpps: 1, nsPerPacket }));
    const rounds = { weft: seen(50, 100), fixed: seen(100, 300), normal: seen(200, 400), floor: seen(10, 20) };
    const steps: Result['steps'] = new Map([['rx', 0.2]]);
    const result: Result = { direction: 'push', frameLen: 64, rounds, steps };
    const { targets, tables } = findings([result]);
    expect(targets.map(({ value, limit }) => [value, limit])).toEqual([
      [2.5, 1.5],
      [4, 1.5],
    ]);
    expect(tables[0].rows).toContainEqual(['  Open vSwitch, a fixed flow', '1.00', '200.0', '6.67', '2.50']);
    expect(tables[1].rows).toContainEqual(['  rx', '15.0']);
  });
});
