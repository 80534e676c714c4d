// A node's life: clean ends, sudden ends, workers that die, peers that never answer.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, it } from 'vitest';
import type { ConfigInput } from '../../src/control/config/config.js';
import type { PeerDocument, StatusDocument } from '../../src/observe/documents.js';
import { BROADCAST, udp } from '../rig/frames.js';
import { type Hosts, makeHosts, UNDERLAY_A, UNDERLAY_B } from '../rig/hosts.js';
import { removeNamespaces, runIn, startIn } from '../rig/namespaces.js';
import { expectQuiet, nodeName, scratchFile, up, weft } from '../rig/node.js';
import { describeWith } from '../rig/requirements.js';
import { ping, sendFrames, sendTcp } from '../rig/traffic.js';
import { sleep, until } from '../rig/waiting.js';

const FAULTY_NODE = fileURLToPath(new URL('../rig/faultyNode.mjs', import.meta.url));
const OVERLAY_A = '10.1.0.1';
const OVERLAY_B = '10.1.0.2';
const TAP = 'weft0';

function configOf(own: string, peers: string[], address: string, rest: Partial<ConfigInput> = {}): ConfigInput {
  return {
    underlays: [{ name: 'veth', address: own }],
    networks: [
      {
        name: 'blue',
        vni: 42,
        underlay: 'veth',
        peers,
        ports: [{ type: 'tap', name: TAP, addresses: [`${address}/24`] }],
      },
    ],
    ...rest,
  };
}
const configA = (rest: Partial<ConfigInput> = {}) => configOf(UNDERLAY_A, [UNDERLAY_B], OVERLAY_A, rest);
const configB = configOf(UNDERLAY_B, [UNDERLAY_A], OVERLAY_B);
const links = (namespace: string) => runIn(namespace, 'ip', '-o', 'link');

describeWith(['root', 'tun', 'addon', 'ip', 'ping'], 'a node', () => {
  afterEach(removeNamespaces);

  it.each(['SIGTERM', 'SIGINT'] as const)('ends clean by %s and leaves nothing', async (signal) => {
    const { a } = makeHosts();
    const name = nodeName('clean');
    const socket = `/run/weft/${name}.sock`;
    const node = await up(a.namespace, configA({ node: { name, socket } }));
    // The default place of the socket is found by the node's name.
    const { status, stdout } = await weft('status', '--node', name, '--json');
    expect([status, (JSON.parse(stdout) as StatusDocument).node.state]).toEqual([0, 'running']);
    expect(links(a.namespace)).toContain(TAP);
    expect(await node.end(signal)).toBe(0);
    expect(links(a.namespace)).not.toContain(TAP);
    expect(existsSync(socket)).toBe(false);
    expect(node.said).toMatch(/stopped/);
  });

  it('starts again after a kill without any cleaning', async () => {
    const { a, b } = makeHosts();
    const config = configA({ node: { name: nodeName('killed'), socket: scratchFile('killed.sock') } });
    await up(b.namespace, configB);
    for (let life = 0; life < 3; life++) {
      const node = await up(a.namespace, config);
      expect(await ping(a.namespace, OVERLAY_B)).toBe(3);
      await expectQuiet(node);
      await node.end('SIGKILL');
      expect(existsSync(node.socket)).toBe(true);
    }
  });

  it('attaches again, after a kill, to a TAP that is not its own, and leaves it as it was', async () => {
    const { a, b } = makeHosts();
    runIn(a.namespace, 'ip', 'tuntap', 'add', 'dev', TAP, 'mode', 'tap', 'vnet_hdr');
    runIn(a.namespace, 'ip', 'link', 'set', TAP, 'mtu', '1300');
    const config = configA({ node: { name: nodeName('attached'), socket: scratchFile('attached.sock') } });
    config.networks[0].ports = [{ type: 'tap', name: TAP, create: false, addresses: [`${OVERLAY_A}/24`] }];
    await up(b.namespace, configB);
    for (const end of ['SIGKILL', 'SIGTERM'] as const) {
      const node = await up(a.namespace, config);
      expect(await ping(a.namespace, OVERLAY_B)).toBe(3);
      await node.end(end);
      expect(links(a.namespace)).toContain(TAP);
    }
  });

  it('refuses a second node of its name, and goes on', async () => {
    const { a, b } = makeHosts();
    const node = await up(a.namespace, configA());
    await up(b.namespace, configB);
    const again = configA({ node: { name: node.name, socket: node.socket } });
    await expect(up(b.namespace, again)).rejects.toThrow(/is running already and answers on/);
    expect(await ping(a.namespace, OVERLAY_B)).toBe(3);
  });

  it('goes on without a peer that does not answer, and says so', async () => {
    const { a, b } = makeHosts();
    const [silent, unreachable] = ['198.18.0.77', '203.0.113.1'];
    const node = await up(a.namespace, configOf(UNDERLAY_A, [silent, unreachable, UNDERLAY_B], OVERLAY_A));
    await up(b.namespace, configB);
    expect(await ping(a.namespace, OVERLAY_B)).toBe(3);
    // Nobody has 10.1.0.99: the question goes to all peers.
    expect(await ping(a.namespace, '10.1.0.99', { withinSec: 1 })).toBe(0);
    const peers = await node.read<PeerDocument[]>('peers');
    const of = (address: string) => peers.find((peer) => peer.address === address);
    expect(of(silent)).toMatchObject({ lastHeardSec: null, rxPackets: 0 });
    expect(of(unreachable)).toMatchObject({ lastHeardSec: null, rxPackets: 0, lastError: 'ENETUNREACH' });
    expect(of(unreachable)?.failedSends).toBeGreaterThan(0);
    expect(of(UNDERLAY_B)).toMatchObject({ failedSends: 0, lastError: null });
    expect(of(UNDERLAY_B)?.lastHeardSec).toBeLessThan(30);
    await expectQuiet(node);
  });
});

describeWith(['root', 'tun', 'addon', 'ip', 'ping', 'python3'], 'a worker that dies', () => {
  afterEach(removeNamespaces);

  async function startPair(hosts: Hosts, workers = 1) {
    const hurt = await up(hosts.a.namespace, configA({ node: { workers } }), FAULTY_NODE);
    const whole = await up(hosts.b.namespace, configB);
    return { hurt, whole, a: hosts.a.namespace, b: hosts.b.namespace };
  }

  it.each([1, 2])(
    'under traffic is replaced at once, and the account balances (%i workers)',
    { timeout: 240_000 },
    async (workers) => {
      const { hurt, whole, a, b } = await startPair(makeHosts(), workers);
      expect(await ping(a, OVERLAY_B)).toBe(3);
      const pings = startIn(b, 'ping', '-n', '-q', '-i', '0.01', '-c', '200', '-W', '1', OVERLAY_A);
      let said = '';
      pings.stdout?.on('data', (text) => (said += text));
      const stream = sendTcp(b, a, OVERLAY_A, 400_000_000, 120_000);
      for (let death = 1; death <= 3; death++) {
        await sleep(300);
        hurt.child.kill('SIGUSR2');
        await until(`replacement ${death}`, () => (hurt.said.match(/worker-replaced/g) ?? []).length === death);
      }
      const { sent, received } = await stream;
      expect(received).toEqual(sent);
      await until('the end of the pings', () => pings.exitCode !== null);
      await expectQuiet(hurt, whole);
      const status = await hurt.status();
      expect(status.workers.map(({ restarts, state }) => [restarts, state])).toEqual(
        Array.from({ length: workers }, (_, index) => [index === 0 ? 3 : 0, 'running']),
      );
      expect(status.hints.map(({ object }) => object)).toContain('worker 0');
      // Deaths that follow each other so soon find a thread that is still warming up, or none.
      const replacements = [...hurt.said.matchAll(/worker-replaced (\{.*\})/g)].map(([, event]) => JSON.parse(event));
      expect(replacements).toHaveLength(3);
      for (const { afterMs, stoodBy } of replacements) expect(afterMs, hurt.said).toBeLessThan(stoodBy ? 500 : 10_000);
      // A second without answers would cost 100 of 200 pings; three deaths together cost less, or what came while a slow machine warmed up a thread.
      const deadMs = replacements.reduce((sum, { afterMs }) => sum + afterMs, 0);
      const lost = 200 - Number(/(\d+) received/.exec(said)?.[1]);
      expect(lost, hurt.said).toBeLessThan(Math.max(80, 20 + deadMs / 10));
      expect(await hurt.end()).toBe(0);
    },
  );

  /** Frames that bring every step of the walk to life: a broadcast whose checksum the walk has to finish, and one from the peer. */
  async function provoke(a: string, b: string): Promise<void> {
    const datagram = udp({ src: 1, dst: BROADCAST, payload: 64, checksum: 'unfinished' });
    const needsChecksum = Buffer.from([1, 0, 0, 0, 0, 0, 34, 0, 6, 0]);
    await sendFrames(a, TAP, [{ frame: datagram, vnet: needsChecksum }]);
    await sendFrames(b, TAP, [udp({ src: 2, dst: BROADCAST, payload: 64 })]);
  }

  const steps = [
    'parse',
    'checkOffloads',
    'decap',
    'arrive',
    'prefetch',
    'learn',
    'lookup',
    'sendToPort',
    'sendToSocket',
  ];
  it('in any step loses what it held, and no slot', async () => {
    const { a, b } = makeHosts();
    const whole = await up(b.namespace, configB);
    for (const step of [...steps, 'completeChecksum']) {
      process.env.WEFT_FAULTY_STEP = step;
      const hurt = await up(a.namespace, configA(), FAULTY_NODE).finally(() => delete process.env.WEFT_FAULTY_STEP);
      await provoke(a.namespace, b.namespace);
      await until(`the death in ${step}`, () => /worker-replaced/.test(hurt.said));
      // The TAP has another MAC each time, which the kernel takes over only when the last one is a second old.
      runIn(b.namespace, 'ip', 'neighbour', 'flush', 'dev', TAP);
      expect(hurt.said).toMatch(new RegExp(`worker-lost.*fault injected into ${step}`));
      expect(await ping(a.namespace, OVERLAY_B)).toBe(3);
      await expectQuiet(hurt, whole);
      const { workers, account } = await hurt.status();
      expect(workers).toMatchObject([{ restarts: 1, state: 'running' }]);
      expect(account.received).toBeGreaterThan(6);
      expect(await hurt.end()).toBe(0);
    }
    // A node after the other, on a machine that may have other things to do.
  }, 400_000);
});
