// A node whose stations, peers, ports and networks come and go: what it holds stays the same. Ten seconds of it, or WEFT_SOAK_SECONDS.
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createClient, type NodeClient } from '../../src/control/api/client.js';
import type { ConfigInput } from '../../src/control/config/config.js';
import { flood } from '../rig/flood.js';
import { BROADCAST, ethernet, join, outer, u32, vxlan } from '../rig/frames.js';
import { macOf, makeHosts, makeQuietNamespace, UNDERLAY_A, UNDERLAY_B } from '../rig/hosts.js';
import { removeNamespaces } from '../rig/namespaces.js';
import { expectQuiet, up, type WeftNode } from '../rig/node.js';
import { describeWith } from '../rig/requirements.js';
import { until } from '../rig/waiting.js';

const PROGRAM = fileURLToPath(new URL('../rig/measuredNode.mjs', import.meta.url));
const SECONDS = Number(process.env.WEFT_SOAK_SECONDS ?? 10);
/** A node that has just started still makes code, fills its pools and gets its spare thread: on a slow machine that takes rounds, not seconds. */
const YOUNG_SECONDS = 4;
const YOUNG_ROUNDS = 8;
const SAMPLES_MIN = 6;
const DEVICE = 'eth0';
const VNI = 42;
const AGEING_SEC = 2;
const MAC_LIMIT = 2000;
/** New stations a round on each side; a round is about half a second. */
const STATIONS = 1000;
const FLOOD_PPS = 4000;
/** From the middle of the first half to that of the second. */
const GROWTH_MAX_MB = { heapUsed: 1.5, external: 0.5, rss: 12 } as const;

interface Measured {
  heapUsed: number;
  external: number;
  rss: number;
  descriptors: number;
  threads: number;
}

const middle = (values: number[]) => [...values].sort((x, y) => x - y)[values.length >> 1];

describeWith(['root', 'tun', 'addon', 'ip', 'python3'], 'a node where everything comes and goes', () => {
  let node: WeftNode;
  let client: NodeClient;
  let station: string;
  let wire: { namespace: string; device: string; src: Uint8Array; dst: Uint8Array };
  const samples: Measured[] = [];

  const config = (): ConfigInput => ({
    underlays: [{ name: 'wan', address: UNDERLAY_A }],
    networks: [
      {
        name: 'blue',
        vni: VNI,
        underlay: 'wan',
        peers: [UNDERLAY_B],
        ageing: AGEING_SEC,
        macLimit: MAC_LIMIT,
        ports: [{ type: 'tap', name: 'web', device: DEVICE, netns: station }],
      },
    ],
  });

  beforeAll(async () => {
    const { a, b } = makeHosts();
    station = makeQuietNamespace('s');
    const macBytes = (namespace: string, device: string) =>
      Uint8Array.from(Buffer.from(macOf(namespace, device).replaceAll(':', ''), 'hex'));
    wire = { ...b, src: macBytes(b.namespace, b.device), dst: macBytes(a.namespace, a.device) };
    node = await up(a.namespace, config(), PROGRAM);
    client = createClient(node.socket);
  });
  afterAll(async () => {
    await node?.end();
    await removeNamespaces();
  });

  async function measure(): Promise<Measured> {
    const lines = () => node.said.match(/^measured .*}$/gm) ?? [];
    const before = lines().length;
    node.child.kill('SIGUSR2');
    return JSON.parse((await until('a measurement', () => lines()[before])).replace('measured ', ''));
  }

  /** New stations at the port and behind the peer. */
  async function stationsCome(round: number): Promise<void> {
    const newcomer = (k: number, side: number) =>
      ethernet({ src: join(2, side, u32(round * STATIONS + k)), dst: BROADCAST }, 0x88b5, new Uint8Array(50));
    const all = Array.from({ length: STATIONS }, (_, k) => k);
    const ends = { src: UNDERLAY_B, dst: UNDERLAY_A, srcMac: wire.src, dstMac: wire.dst };
    const tunnelled = (frame: Uint8Array) => outer(ends, vxlan(VNI, frame));
    const seconds = STATIONS / FLOOD_PPS;
    await Promise.all([
      flood({ namespace: station, device: DEVICE, pps: FLOOD_PPS, frames: all.map((k) => newcomer(k, 1)) }, seconds),
      flood({ ...wire, pps: FLOOD_PPS, frames: all.map((k) => tunnelled(newcomer(k, 2))) }, seconds),
    ]);
  }

  /** Ports, peers and a network of their own come, by reload and one by one, and go again. */
  async function othersComeAndGo(round: number): Promise<void> {
    const base = config();
    const other = {
      name: 'other',
      vni: 77,
      underlay: 'wan',
      peers: [UNDERLAY_B],
      ports: [{ type: 'tap' as const, name: 'o0' }],
    };
    expect(await node.reload({ ...base, networks: [...base.networks, other] })).toContain('reloaded: ');
    const address = `198.18.9.${1 + (round % 200)}`;
    await client.post('/v1/peers', { network: 'blue', peer: { address } });
    await client.post('/v1/ports', { network: 'blue', port: { type: 'tap', name: `t${round % 7}` } });
    await client.delete(`/v1/ports/t${round % 7}`);
    await client.delete(`/v1/peers/blue/${address}`);
    expect(await node.reload(base)).toContain('reloaded: ');
  }

  it(
    `holds as much after ${SECONDS} seconds of it as before`,
    async () => {
      const from = performance.now();
      const seconds = () => (performance.now() - from) / 1000;
      for (let round = 0; seconds() < SECONDS || samples.length < SAMPLES_MIN; round++) {
        await Promise.all([stationsCome(round), othersComeAndGo(round)]);
        expect((await node.status()).networks[0].macs).toBeLessThanOrEqual(MAC_LIMIT);
        const measured = await measure();
        if (seconds() > YOUNG_SECONDS && round >= YOUNG_ROUNDS) samples.push(measured);
      }
      await expectQuiet(node);
      const half = samples.length >> 1;
      const [early, late] = [samples.slice(0, half), samples.slice(half)];
      const report = Object.entries(GROWTH_MAX_MB).map(([what, most]) => {
        const of = (all: Measured[]) => middle(all.map((one) => one[what as keyof Measured])) / 1e6;
        return { what, early: of(early), late: of(late), most };
      });
      if (process.env.WEFT_SOAK_SECONDS !== undefined) console.table([...samples, ...report]);
      for (const { what, early, late, most } of report) expect(late - early, `MB more of ${what}`).toBeLessThan(most);
      for (const what of ['descriptors', 'threads'] as const) {
        const all = (some: Measured[]) => some.map((one) => one[what]);
        expect(Math.min(...all(late)), `more ${what}`).toBeLessThanOrEqual(Math.max(...all(early)));
      }
      const { slots } = await node.status();
      expect(slots.held).toBe(0);
      await until('all stations are forgotten', async () => (await node.macs()).length === 0);
    },
    SECONDS * 1000 + 180_000,
  );
});
