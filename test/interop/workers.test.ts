// Two workers on each of two nodes carry one network: numbered packets of many flows come whole and in order, and whatever a dying worker
// loses is counted.
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { ConfigInput } from '../../src/control/config/config.js';
import type { DropsDocument } from '../../src/observe/documents.js';
import { macOf, makeHosts, UNDERLAY_A, UNDERLAY_B } from '../rig/hosts.js';
import { removeNamespaces, runIn, startIn } from '../rig/namespaces.js';
import { expectQuiet, runToEnd, up, type WeftNode } from '../rig/node.js';
import { describeWith } from '../rig/requirements.js';
import { sleep, until } from '../rig/waiting.js';

const FAULTY_NODE = fileURLToPath(new URL('../rig/faultyNode.mjs', import.meta.url));
const SEQUENCED = fileURLToPath(new URL('../rig/sequenced.mjs', import.meta.url));
const TAP = 'weft0';
const [OVERLAY_A, OVERLAY_B] = ['10.1.0.1', '10.1.0.2'];
const PORT = 5002;
const FLOWS = 48;
/** Packets a second that a machine of two cores can be asked for while other tests run beside. */
const RATE_MAX = 16_000;
/** Of a queue of the TAP: a second of those packets, for which a busy machine may leave a worker without a CPU. */
const QUEUE_PACKETS = '16000';

const configOf = (own: string, peer: string, address: string): ConfigInput => ({
  node: { workers: 2 },
  underlays: [{ name: 'veth', address: own }],
  networks: [
    {
      name: 'blue',
      vni: 42,
      underlay: 'veth',
      peers: [peer],
      ports: [{ type: 'tap', name: TAP, addresses: [address] }],
    },
  ],
});

interface Report {
  packets: number;
  twice: number;
  late: number;
  lostHere: number;
}

describeWith(['root', 'tun', 'addon', 'ip'], 'two workers', () => {
  let a: string;
  let b: string;
  let nodes: [WeftNode, WeftNode];

  beforeAll(async () => {
    process.env.WEFT_VICTIMS = 'all';
    const hosts = makeHosts();
    [a, b] = [hosts.a.namespace, hosts.b.namespace];
    nodes = await Promise.all([
      up(a, configOf(UNDERLAY_A, UNDERLAY_B, `${OVERLAY_A}/24`), FAULTY_NODE),
      up(b, configOf(UNDERLAY_B, UNDERLAY_A, `${OVERLAY_B}/24`), FAULTY_NODE),
    ]);
    delete process.env.WEFT_VICTIMS;
    // Nothing but the numbered packets is to be in the counts.
    for (const [here, there, address] of [
      [a, b, OVERLAY_B],
      [b, a, OVERLAY_A],
    ])
      runIn(here, 'ip', 'neighbour', 'replace', address, 'lladdr', macOf(there, TAP), 'nud', 'permanent', 'dev', TAP);
    for (const host of [a, b]) runIn(host, 'ip', 'link', 'set', TAP, 'txqueuelen', QUEUE_PACKETS);
    expect(runIn(b, 'ping', '-c', '1', '-W', '5', OVERLAY_A)).toContain('1 received');
  });
  afterAll(removeNamespaces);

  /** Packets that are accounted for as lost, at both nodes, in their sockets and in the queues of their TAPs. */
  async function counted(): Promise<number> {
    const drops = await Promise.all(nodes.map((node) => node.read<DropsDocument>('drops')));
    return drops.reduce((sum, { total, missed }) => sum + total + missed, 0);
  }

  async function run(packetsASecond: number, durationMs: number, during = async () => {}) {
    const before = await counted();
    const receiver = startIn(b, process.execPath, SEQUENCED, 'receive', OVERLAY_B, `${PORT}`);
    let said = '';
    receiver.stdout?.on('data', (text) => (said += text));
    receiver.stderr?.on('data', (text) => (said += text));
    await until('the receiver is ready', () => /ready/.test(said));
    const args = ['send', OVERLAY_B, `${PORT}`, `${FLOWS}`, `${packetsASecond}`, `${durationMs}`];
    const sending = runToEnd('ip', ['netns', 'exec', a, process.execPath, SEQUENCED, ...args]);
    await during();
    const { status, stdout, stderr } = await sending;
    expect(status, stderr).toBe(0);
    await until(`the report of the receiver, which said ${said}`, () => receiver.exitCode !== null, {
      withinMs: 20_000,
    });
    const report = JSON.parse(said.replace('ready', '')) as Report;
    const { sent } = JSON.parse(stdout) as { sent: number };
    return { sent, ...report, lost: sent - report.packets, counted: (await counted()) - before };
  }

  it('deliver every packet once and in the order of its flow, and both have a part in it', async () => {
    const fastest = await run(1_000_000, 500);
    expect(fastest).toMatchObject({ twice: 0, late: 0, lostHere: 0, lost: fastest.counted });
    const rate = Math.min(RATE_MAX, fastest.packets / 2 / 0.5);
    const half = await run(rate, 2000);
    expect(half).toMatchObject({ lost: 0, counted: 0, twice: 0, late: 0, lostHere: 0 });
    for (const node of nodes) {
      const { workers } = await node.status();
      for (const { turns } of workers) expect(turns).toBeGreaterThan(50);
    }
    await expectQuiet(...nodes);
  });

  it('become one, and two again, while packets of all flows move: none is lost or comes twice', async () => {
    const ids = async () =>
      Promise.all(nodes.map(async (node) => (await node.status()).workers.map((w) => w.threadId)));
    const before = await ids();
    const devices = () => [a, b].map((name) => runIn(name, 'cat', `/sys/class/net/${TAP}/ifindex`));
    const had = devices();
    const report = await run(RATE_MAX / 8, 5000, async () => {
      for (const count of [1, 2, 1, 2]) {
        const said = await Promise.all(nodes.map((node) => node.weft('workers', `${count}`, '--json')));
        for (const { status, stdout, stderr } of said) {
          expect(status, stderr).toBe(0);
          expect(JSON.parse(stdout)).toHaveLength(count);
        }
      }
    });
    // What a full queue of the TAP loses on a busy machine is counted; what is lost with a queue or a socket that is closed would not be. Packets
    // of a flow that moves may overtake each other there, once.
    expect(report).toMatchObject({ lost: report.counted, twice: 0, lostHere: 0 });
    expect(report.packets).toBeGreaterThan(report.sent / 2);
    expect(report.late).toBeLessThan(report.sent / 10);
    expect(devices()).toEqual(had);
    const after = await ids();
    after.forEach((threads, k) => {
      expect(threads[0]).toBe(before[k][0]);
      expect(threads[1]).not.toBe(before[k][1]);
    });
    const refused = await nodes[0].weft('workers', '3');
    expect([refused.status, refused.stderr]).toEqual([2, expect.stringMatching(/node\.workers: 2 -> 3.*made for 2/)]);
    await expectQuiet(...nodes);
  }, 120_000);

  it('lose what is counted when they die, one after the other, and nothing else; the others go on', async () => {
    const deaths = 4;
    const replaced = ({ said }: WeftNode) =>
      [...said.matchAll(/^worker-replaced (\{.*\})$/gm)].map(([, event]) => JSON.parse(event) as { stoodBy: boolean });
    const report = await run(RATE_MAX / 2, 1000 * deaths + 500, async () => {
      for (let death = 0; death < deaths; death++) {
        await sleep(1000);
        const node = nodes[death % 2];
        const before = replaced(node).length;
        node.child.kill('SIGUSR2');
        await until('it is replaced', () => replaced(node).length > before);
      }
    });
    expect(report).toMatchObject({ lost: report.counted, twice: 0, late: 0, lostHere: 0 });
    await expectQuiet(...nodes);
    for (const node of nodes) {
      expect(replaced(node), node.said).toHaveLength(deaths / 2);
      const { workers } = await node.status();
      expect(workers.map(({ restarts, state }) => [restarts, state])).toEqual([
        [1, 'running'],
        [1, 'running'],
      ]);
    }
    // Threads that were warm took over; one that is not yet stands by again seconds after the last change.
    expect(nodes.flatMap(replaced)).toContainEqual(expect.objectContaining({ stoodBy: true }));
  });
});
