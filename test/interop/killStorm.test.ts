// A storm: workers and nodes are killed, devices, namespaces and underlays taken away and put back, at random and under traffic. Afterwards
// everything is as if nothing had happened. WEFT_STORM_SEED repeats one, as far as the machine's own timing lets it; WEFT_STORM_SECONDS makes it
// longer.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import type { ConfigInput } from '../../src/control/config/config.js';
import { descriptors, lastingDescriptors } from '../rig/descriptors.js';
import { type Hosts, makeHosts, makeQuietNamespace, UNDERLAY_A, UNDERLAY_B } from '../rig/hosts.js';
import { joinByVeth, namespacePath, removeNamespace, removeNamespaces, runIn, startIn } from '../rig/namespaces.js';
import { expectQuiet, nodeName, scratchFile, up, type WeftNode } from '../rig/node.js';
import { makeRandom } from '../rig/random.js';
import { describeWith } from '../rig/requirements.js';
import { ping, sendTcp } from '../rig/traffic.js';
import { sleep, until } from '../rig/waiting.js';

const FAULTY_NODE = fileURLToPath(new URL('../rig/faultyNode.mjs', import.meta.url));
const SECONDS = Number(process.env.WEFT_STORM_SECONDS ?? 15);
const SEED = Number(process.env.WEFT_STORM_SEED ?? Date.now() % 2 ** 31);
const TAP = 'weft0';
const OVERLAY = { a: '10.1.0.1', b: '10.1.0.2', station: '10.1.0.7' };
/** A pause between attempts may have grown to half a minute where nobody tells of the change. */
const HEALED_MS = 45_000;

type Side = 'a' | 'b';

describeWith(['root', 'tun', 'addon', 'ip', 'ping'], `a storm with the seed ${SEED}`, () => {
  const random = makeRandom(SEED);
  const { pick } = random;
  /** What is taken away now, and how to put it back. */
  const wounds = new Map<string, () => void>();
  const log: string[] = [];
  let hosts: Hosts;
  let station: string;
  let configs: Record<Side, ConfigInput>;
  let nodes: Record<Side, WeftNode>;
  let before: Record<Side, string[]>;
  let startedAt = 0;

  beforeAll(async () => {
    process.env.WEFT_VICTIMS = 'all';
    hosts = makeHosts();
    station = makeQuietNamespace('station');
    const tap = (name: string, address: string, rest = {}) => ({
      type: 'tap' as const,
      name,
      addresses: [`${address}/24`],
      ...rest,
    });
    const configOf = (label: string, own: string, peer: string, ports: ReturnType<typeof tap>[]): ConfigInput => ({
      node: { name: nodeName(label), socket: scratchFile(`${label}.sock`), workers: 2 },
      underlays: [{ name: 'veth', address: own }],
      networks: [{ name: 'blue', vni: 42, underlay: 'veth', peers: [peer], ports }],
    });
    configs = {
      a: configOf('a', UNDERLAY_A, UNDERLAY_B, [
        tap(TAP, OVERLAY.a),
        tap('guest', OVERLAY.station, { device: 'eth0', netns: station }),
      ]),
      b: configOf('b', UNDERLAY_B, UNDERLAY_A, [tap(TAP, OVERLAY.b)]),
    };
    const [a, b] = await Promise.all([start('a'), start('b')]);
    nodes = { a, b };
    before = { a: await lastingDescriptors(a), b: await lastingDescriptors(b) };
  });
  afterEach(async ({ task }) => {
    if (task.result?.state !== 'fail') return;
    for (const node of Object.values(nodes)) {
      const status = await node.status().catch((error: Error) => error.message);
      console.log(`${node.name}: ${JSON.stringify(status)}\n${node.said}`);
    }
  });
  afterAll(async () => {
    delete process.env.WEFT_VICTIMS;
    await removeNamespaces();
  });

  const start = (side: Side) => up(hosts[side].namespace, configs[side], FAULTY_NODE);

  function say(what: string): void {
    log.push(`${((performance.now() - startedAt) / 1000).toFixed(2)} ${what}`);
  }

  /** Takes something away, unless it is away already, to be put back later. */
  function wound(what: string, take: () => void, putBack: () => void): void {
    if (wounds.has(what)) return;
    say(what);
    take();
    wounds.set(what, putBack);
  }

  function mend(what: string): void {
    say(`mended: ${what}`);
    const putBack = wounds.get(what)!;
    wounds.delete(what);
    putBack();
  }

  const mendAll = () => [...wounds.keys()].reverse().forEach(mend);
  const has = (start: string) => [...wounds.keys()].some((what) => what.startsWith(start));
  const ip = (namespace: string, ...args: string[]) => runIn(namespace, 'ip', ...args);

  const actions: Record<string, (side: Side) => void | Promise<void>> = {
    worker(side) {
      say(`a worker of ${side} ends`);
      nodes[side].child.kill('SIGUSR2');
    },
    async node(side) {
      // A node starts only where everything is.
      mendAll();
      say(`node ${side} is killed`);
      await nodes[side].end('SIGKILL');
      nodes[side] = await start(side);
    },
    device(side) {
      const [namespace, device] =
        side === 'a' && !has('namespace') && random.once(2) ? [station, 'eth0'] : [hosts[side].namespace, TAP];
      say(`device ${device} of ${side} is deleted`);
      try {
        ip(namespace, 'link', 'delete', device);
      } catch {
        // The node has not made it again yet.
      }
    },
    namespace() {
      wound(
        'namespace of the station',
        () => removeNamespace(station),
        () => makeQuietNamespace('station'),
      );
    },
    /** A soft limit: no descriptor is closed by it, and hardly any is left to be opened. */
    poverty(side) {
      const { pid } = nodes[side].child;
      const limitTo = (descriptors: number) => execFileSync('prlimit', ['--pid', `${pid}`, `--nofile=${descriptors}:`]);
      wound(
        `descriptors of ${side} run out`,
        () => limitTo(10),
        () => limitTo(1024),
      );
    },
    down(side) {
      if (has('underlay')) return;
      const { namespace, device } = hosts[side];
      wound(
        `underlay ${side} is down`,
        () => ip(namespace, 'link', 'set', device, 'down'),
        () => ip(namespace, 'link', 'set', device, 'up'),
      );
    },
    address(side) {
      if (has('underlay')) return;
      const { namespace, device, address } = hosts[side];
      wound(
        `underlay ${side} has no address`,
        () => ip(namespace, 'address', 'delete', address, 'dev', device),
        () => ip(namespace, 'address', 'add', address, 'dev', device),
      );
    },
    underlay(side) {
      if (has('underlay')) return;
      const { namespace, device } = hosts[side];
      wound(
        'underlays are deleted',
        () => ip(namespace, 'link', 'delete', device),
        () => joinByVeth(hosts.a, hosts.b),
      );
    },
  };

  async function rage(): Promise<void> {
    const names = Object.keys(actions);
    while (performance.now() - startedAt < SECONDS * 1000) {
      const what = [...wounds.keys()];
      if (what.length > 0 && random.once(3)) mend(pick(what));
      else await actions[pick(names)](pick(['a', 'b'] as const));
      await sleep(50 + random.below(500));
    }
    mendAll();
  }

  /** Pings all the while, in both directions. */
  function keepTalking(): () => void {
    const pings = (from: string, to: string) =>
      startIn(
        from,
        'sh',
        '-c',
        `while :; do ping -n -q -i 0.005 -s 1200 -w 1 ${to} >/dev/null 2>&1 || sleep 0.05; done`,
      );
    const talking = [
      pings(hosts.a.namespace, OVERLAY.b),
      pings(hosts.b.namespace, OVERLAY.a),
      pings(hosts.b.namespace, OVERLAY.station),
    ];
    return () => {
      for (const child of talking) child.kill('SIGKILL');
    };
  }

  it(
    'passes, and nothing is left of it',
    async () => {
      startedAt = performance.now();
      const silence = keepTalking();
      try {
        await rage();
      } finally {
        silence();
        console.log(`a storm with the seed ${SEED}:\n${log.join('\n')}`);
        for (const node of Object.values(nodes)) if (node.hasEnded) console.log(`${node.name} has ended`);
      }
      const { a, b } = nodes;
      const flows = (from: string, to: string) =>
        until(
          `traffic from ${from} to ${to}`,
          async () => (await ping(from, to, { count: 1, withinSec: 1 }).catch(() => 0)) === 1,
          {
            withinMs: HEALED_MS,
          },
        );
      const [hostA, hostB] = [hosts.a.namespace, hosts.b.namespace];
      await Promise.all([flows(hostA, OVERLAY.b), flows(hostB, OVERLAY.a), flows(station, OVERLAY.b)]);
      const { sent, received } = await sendTcp(hostB, station, OVERLAY.station, 20_000_000);
      expect(received).toEqual(sent);
      for (const node of [a, b]) {
        const isWhole = async () => {
          const { workers, ports, underlays } = await node.status();
          const isHealed = [...ports, ...underlays].every(({ loss }) => loss === null);
          return isHealed && workers.length === 2 && workers.every(({ state }) => state === 'running');
        };
        await until(`${node.name} has everything back, workers too`, isWhole, { withinMs: HEALED_MS });
      }
      await expectQuiet(a, b);
      for (const side of ['a', 'b'] as const) {
        const isAsBefore = () => descriptors(nodes[side]).join() === before[side].join();
        await until(`the descriptors of ${side}`, isAsBefore).catch(() => {});
        expect(descriptors(nodes[side])).toEqual(before[side]);
        expect(await nodes[side].end()).toBe(0);
      }
      for (const [namespace, device] of [
        [hostA, TAP],
        [hostB, TAP],
        [station, 'eth0'],
      ])
        expect(ip(namespace, '-o', 'link')).not.toContain(`${device}:`);
      expect(existsSync(namespacePath(station))).toBe(true);
      removeNamespace(station);
      expect(existsSync(namespacePath(station))).toBe(false);
    },
    (SECONDS + 120) * 1000,
  );
});
