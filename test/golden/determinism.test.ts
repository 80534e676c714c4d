// The same replay ten times, beside others and under load: the same bytes and the same counters. Replays run in threads of their own, so
// this needs the built package.
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ConfigInput } from '../../src/control/config/config.js';
import type { ReplayInput, ReplayReport } from '../../src/replay/options.js';
import { type TimedFrame, writeTimed } from '../rig/captureRecords.js';
import { BROADCAST, outer, udp, vxlan } from '../rig/frames.js';
import { arp } from '../rig/neighbours.js';

type ReplayModule = typeof import('../../src/replay/replay.js');
const BUILT = new URL('../../dist/replay/replay.js', import.meta.url).href;

const SELF = '198.18.0.1';
const PEERS = ['198.18.0.2', '198.18.0.3'];
const ROUNDS = 10;
const FRAMES = 6000;

const config: ConfigInput = {
  underlays: [{ name: 'lan', address: SELF }],
  networks: [
    {
      name: 'blue',
      vni: 42,
      underlay: 'lan',
      peers: PEERS,
      // What depends on time: MACs are forgotten, floods are limited, the table is too small.
      ageing: 3,
      broadcastLimit: 500,
      macLimit: 40,
      neighbourLimit: 25,
      ports: [
        { type: 'tap', name: 'web' },
        { type: 'tap', name: 'db' },
      ],
    },
  ],
};

/** Numbers that look random and are the same every time. */
function numbers(seed: number): (below: number) => number {
  let x = seed;
  return (below) => {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    return Math.floor((x / 2 ** 32) * below);
  };
}

function traffic(seed: number, wrap: (frame: Uint8Array, any: (below: number) => number) => Uint8Array): TimedFrame[] {
  const any = numbers(seed);
  let micros = 1_700_000_000_000_000;
  return Array.from({ length: FRAMES }, () => {
    micros += any(2) === 0 ? any(50) : any(2000);
    // Some of these are answered, as long as sender and target are known.
    if (any(8) === 0) {
      const station = any(30);
      return { micros, data: wrap(arp({ sha: station, spa: station, tpa: any(30) }), any) };
    }
    const dst = any(20) === 0 ? BROADCAST : any(60);
    return { micros, data: wrap(udp({ src: any(60), dst, payload: any(300), sport: any(500) }), any) };
  });
}

describe('a replay, again and again', () => {
  const folder = mkdtempSync(join(tmpdir(), 'weft-determinism-'));
  let replay: ReplayModule['replay'];
  let inputs: ReplayInput[];
  let first: { report: unknown; sum: string };

  beforeAll(async () => {
    ({ replay } = (await import(BUILT)) as ReplayModule);
    const outers = traffic(3, (frame, any) =>
      outer({ src: PEERS[any(2)], dst: SELF, checksum: 'good' }, vxlan(42, frame)),
    );
    inputs = [
      {
        file: writeTimed(
          join(folder, 'web.pcap'),
          traffic(1, (f) => f),
        ),
        port: 'web',
      },
      {
        file: writeTimed(
          join(folder, 'db.pcap'),
          traffic(2, (f) => f),
        ),
        port: 'db',
      },
      { file: writeTimed(join(folder, 'lan.pcap'), outers), underlay: 'lan' },
    ];
    first = await once('first');
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  async function once(name: string): Promise<{ report: unknown; sum: string }> {
    const out = join(folder, `${name}.pcapng`);
    const { seconds, mpps, outputs, ...report }: ReplayReport = await replay({ config, inputs, out });
    const sum = createHash('sha256').update(readFileSync(out)).digest('hex');
    rmSync(out);
    return { report: { ...report, outputs: outputs.map((output) => ({ ...output, file: '' })) }, sum };
  }

  it('is of some interest', () => {
    const { dropped, ...report } = first.report as ReplayReport;
    expect(report).toMatchObject({ read: 3 * FRAMES, held: 0 });
    expect(report.made).toBeGreaterThan(20);
    expect(report.consumed).toBe(report.made);
    expect(Object.keys(dropped)).toEqual(expect.arrayContaining(['broadcast-limit', 'same-port', 'split-horizon']));
    expect(report.outputs.every(({ packets }) => packets > 300)).toBe(true);
  });

  it('has the same bytes and counters, one after the other', async () => {
    for (let round = 0; round < ROUNDS; round++) expect(await once(`alone-${round}`)).toEqual(first);
  }, 240_000);

  it('has them beside others, and under load', async () => {
    const source = 'let x = 1; for (;;) x = Math.imul(x, 3) + 1;';
    const load = [0, 1].map(() => new Worker(source, { eval: true }));
    try {
      const rounds = await Promise.all(Array.from({ length: 4 }, (_, round) => once(`beside-${round}`)));
      for (const round of rounds) expect(round).toEqual(first);
    } finally {
      await Promise.all(load.map((worker) => worker.terminate()));
    }
  }, 240_000);
});
