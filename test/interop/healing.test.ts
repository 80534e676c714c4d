// What is taken away from under a running node, and put back: traffic flows again without a restart, and nothing is left over.
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { ConfigInput } from '../../src/control/config/config.js';
import type { StatusDocument } from '../../src/observe/documents.js';
import { descriptors, lastingDescriptors } from '../rig/descriptors.js';
import { type Hosts, macOf, makeHosts, makeQuietNamespace, UNDERLAY_A, UNDERLAY_B } from '../rig/hosts.js';
import { joinByVeth, removeNamespace, removeNamespaces, runIn } from '../rig/namespaces.js';
import { type Ended, expectQuiet, up, type WeftNode } from '../rig/node.js';
import { describeWith } from '../rig/requirements.js';
import { ping } from '../rig/traffic.js';
import { sleep, until } from '../rig/waiting.js';

const [OVERLAY_A, OVERLAY_B, GUEST, ATTACHED] = ['10.1.0.1', '10.1.0.2', '10.1.0.7', '10.1.0.8'];
const TAP = 'weft0';
/** Less than the half minute after which everything is looked at anyway: somebody has told. */
const HEALED_MS = 20_000;

type Ports = NonNullable<ConfigInput['networks'][number]['ports']>;

function configOf(own: string, peer: string, ports: Ports, underlay = {}): ConfigInput {
  return {
    node: { workers: 2 },
    underlays: [{ name: 'veth', address: own, ...underlay }],
    networks: [{ name: 'blue', vni: 42, underlay: 'veth', peers: [peer], ports }],
  };
}

const tap = (name: string, address: string, rest: Partial<Ports[number]> = {}) =>
  ({ type: 'tap', name, addresses: [`${address}/24`], ...rest }) as Ports[number];

/** One ping; a station whose device is gone cannot even try. */
const answers = (from: string, to: string) => ping(from, to, { count: 1, withinSec: 1 }).catch(() => 0);
const flows = (from: string, to: string) =>
  until(`traffic from ${from} to ${to}`, async () => (await answers(from, to)) === 1, { withinMs: HEALED_MS });

/** What is lost, as `port weft0: device`. */
function lossesIn({ ports, underlays }: StatusDocument): string[] {
  return [
    ...ports.flatMap(({ name, loss }) => (loss === null ? [] : `port ${name}: ${loss.what}`)),
    ...underlays.flatMap(({ name, loss }) => (loss === null ? [] : `underlay ${name}: ${loss.what}`)),
  ];
}

describeWith(['root', 'tun', 'addon', 'ip', 'ping'], 'a node has back', () => {
  let hosts: Hosts;
  let a: string;
  let station: string;
  /** Where the TAP is that the node attaches to. */
  let machine: string;
  let node: WeftNode;
  let other: WeftNode;
  let before: string[];

  const makeAttached = () => runIn(machine, 'ip', 'tuntap', 'add', 'vm0', 'mode', 'tap', 'multi_queue', 'vnet_hdr');

  beforeAll(async () => {
    hosts = makeHosts();
    a = hosts.a.namespace;
    station = makeQuietNamespace('station');
    machine = makeQuietNamespace('machine');
    makeAttached();
    const ports = [
      tap(TAP, OVERLAY_A),
      tap('guest', GUEST, { device: 'eth0', netns: station }),
      tap('attached', ATTACHED, { device: 'vm0', netns: machine, create: false }),
    ];
    // The one does not know its device, the sockets of the other are bound to it.
    [node, other] = await Promise.all([
      up(a, configOf(UNDERLAY_A, UNDERLAY_B, ports)),
      up(hosts.b.namespace, configOf(UNDERLAY_B, UNDERLAY_A, [tap(TAP, OVERLAY_B)], { device: 'vb' })),
    ]);
    await Promise.all([flows(a, OVERLAY_B), flows(station, OVERLAY_B)]);
    before = await lastingDescriptors(node);
  });
  afterAll(removeNamespaces);

  const losses = async (of = node) => lossesIn(await of.status());
  const isTold = (loss: string, of = node) =>
    until(`${loss} is told`, async () => (await losses(of)).includes(loss), { withinMs: HEALED_MS });

  /** A hint with these fields comes; told at the latest when everything is looked at anyway. */
  async function hints(hint: object): Promise<void> {
    const wanted = expect.arrayContaining([expect.objectContaining(hint)]) as { asymmetricMatch(of: unknown): boolean };
    const isThere = async () => wanted.asymmetricMatch((await node.status()).hints);
    await until(`the hint ${JSON.stringify(hint)}`, isThere, { withinMs: HEALED_MS }).catch(() => {});
    expect((await node.status()).hints).toEqual(wanted);
  }

  /** It is well, as it was: nothing lost, nothing held, no descriptor more, and said once. */
  async function expectHealed(what: string): Promise<void> {
    for (const one of [node, other])
      await until(`${one.name} has nothing lost`, async () => (await losses(one)).length === 0, {
        withinMs: HEALED_MS,
      });
    await expectQuiet(node, other);
    await until('no descriptor is left over', () => descriptors(node).join() === before.join()).catch(() => {});
    expect(descriptors(node)).toEqual(before);
    expect(node.said.match(new RegExp(`${what} is back`, 'g'))).toHaveLength(1);
    expect(node.said).not.toMatch(/not closed cleanly|could not/);
  }

  it('TAPs that it made and somebody deleted, as they were', async () => {
    const mac = macOf(station, 'eth0');
    const { rxPackets } = (await node.status()).ports[0];
    runIn(station, 'ip', 'link', 'delete', 'eth0');
    runIn(a, 'ip', 'link', 'delete', TAP);
    await flows(station, OVERLAY_B);
    await flows(a, OVERLAY_B);
    expect(macOf(station, 'eth0')).toBe(mac);
    expect((await node.status()).ports[0].rxPackets).toBeGreaterThan(rxPackets);
    expect(node.said).toMatch(/port guest: device eth0 in network namespace .* is gone/);
    await expectHealed('port guest');
  });

  it('a TAP that it attached to, when somebody makes it again; others can be changed meanwhile', async () => {
    runIn(machine, 'ip', 'link', 'delete', 'vm0');
    await isTold('port attached: device');
    await hints({
      object: 'port attached',
      message: expect.stringMatching(
        /^device vm0 in network namespace .* is gone \(since \d+ s, tried (once|\d+ times), next in \d+ s\): .*does not exist/,
      ),
      remedy: expect.stringContaining('ip tuntap add dev vm0'),
    });
    const more = ['--device', 'second', '--address', '10.1.0.9/24'];
    expect(await node.weft('port', 'add', 'blue', 'second', ...more)).toMatchObject({ status: 0, stderr: '' });
    expect(await node.weft('port', 'remove', 'second')).toMatchObject({ status: 0 });
    makeAttached();
    await flows(machine, OVERLAY_B);
    await expectHealed('port attached');
  });

  it('the say over its ports, after it ran out of descriptors: what needs one is refused, the rest goes on', async () => {
    const { pid } = node.child;
    const limitTo = (descriptors: number) => execFileSync('prlimit', ['--pid', `${pid}`, `--nofile=${descriptors}:`]);
    const open = readdirSync(`/proc/${pid}/fd`).map(Number);
    // One for whoever asks, one to ask the kernel with.
    let limit = 3;
    while (limit - open.filter((fd) => fd < limit).length < 2) limit++;
    const told = () => node.said.match(/is gone/g)?.length;
    const before = told();
    limitTo(limit);
    const added: string[] = [];
    let refused: Ended | null = null;
    try {
      // What a thread that warms up has had open is free again behind that.
      for (let i = 0; refused === null && i < 20; i++) {
        const result = await node.weft('port', 'add', 'blue', `more${i}`);
        if (result.status === 0) added.push(`more${i}`);
        else refused = result;
      }
      expect(await ping(a, OVERLAY_B)).toBe(3);
      await sleep(1000);
    } finally {
      limitTo(1024);
    }
    expect(refused).toMatchObject({ status: 2, stderr: expect.stringMatching(/too many open files.*\n.*LimitNOFILE/) });
    expect(told()).toBe(before);
    expect(await node.weft('port', 'add', 'blue', 'last')).toMatchObject({ status: 0, stderr: '' });
    for (const name of [...added, 'last']) expect((await node.weft('port', 'remove', name)).status).toBe(0);
    await expectQuiet(node, other);
  });

  it('a port whose namespace was deleted and made again', async () => {
    removeNamespace(station);
    await isTold('port guest: namespace');
    expect(await ping(a, OVERLAY_B)).toBe(3);
    expect(makeQuietNamespace('station')).toBe(station);
    await flows(station, OVERLAY_B);
    expect(await losses()).toEqual([]);
  });

  it('its underlay: down and up, and its address', async () => {
    const ip = (...args: string[]) => runIn(a, 'ip', ...args);
    ip('link', 'set', 'va', 'down');
    expect(await answers(a, OVERLAY_B)).toBe(0);
    await hints({ message: 'device va is down' });
    ip('link', 'set', 'va', 'up');
    await flows(a, OVERLAY_B);
    ip('address', 'delete', hosts.a.address, 'dev', 'va');
    await isTold('underlay veth: address');
    expect(await answers(a, OVERLAY_B)).toBe(0);
    ip('address', 'add', hosts.a.address, 'dev', 'va');
    await flows(a, OVERLAY_B);
    await expectHealed('underlay veth');
  });

  it("its underlay's device, deleted and made again, with sockets that are bound to it and without", async () => {
    runIn(a, 'ip', 'link', 'delete', 'va');
    await Promise.all([isTold('underlay veth: device'), isTold('underlay veth: device', other)]);
    joinByVeth(hosts.a, hosts.b);
    await flows(a, OVERLAY_B);
    await flows(hosts.b.namespace, OVERLAY_A);
    await until('the same descriptors', () => descriptors(node).join() === before.join()).catch(() => {});
    expect(descriptors(node)).toEqual(before);
    for (const one of [node, other]) {
      const isWhole = async () => {
        const [{ deviceState, loss, path }] = (await one.status()).underlays;
        return deviceState === 'up' && loss === null && path.send === 'superframes';
      };
      await until(`the underlay of ${one.name} is what it was`, isWhole);
    }
    await expectQuiet(node, other);
  });

  it('nothing that was only given another name; and it leaves nothing', async () => {
    runIn(a, 'sh', '-c', `ip link set ${TAP} down && ip link set ${TAP} name other && ip link set other up`);
    await sleep(1300);
    await hints({ message: `device ${TAP} is not where it was opened` });
    expect(await losses()).toEqual([]);
    expect(runIn(a, 'ip', '-o', 'link')).not.toContain(`${TAP}:`);
    expect(await ping(a, OVERLAY_B)).toBe(3);
    expect(await node.end()).toBe(0);
    expect(runIn(a, 'ip', '-o', 'link')).not.toContain('other');
    expect(runIn(a, 'ip', '-o', 'link')).not.toContain(TAP);
    expect(runIn(station, 'ip', '-o', 'link')).not.toContain('eth0');
  });
});
