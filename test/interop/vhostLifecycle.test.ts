// Machines that come and go in ways of their own: from another namespace, two at a time, in the middle of a message.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, it } from 'vitest';
import type { PortInput } from '../../src/control/config/config.js';
import type { Node } from '../../src/control/node.js';
import { scratchFile } from '../rig/node.js';
import { describeWith } from '../rig/requirements.js';
import { until } from '../rig/waiting.js';

const BUILT = new URL('../../dist/control/node.js', import.meta.url).href;
const MACHINE = fileURLToPath(new URL('../rig/vhostMachine.py', import.meta.url));
const ELSEWHERE = ['unshare', '--net'];
const warnings: string[] = [];
const comings: string[] = [];
const children: ChildProcess[] = [];
let node: Node | null = null;

const vhost = (name: string, path: string, more: Partial<PortInput> = {}): PortInput =>
  ({ type: 'vhost-user', name, path, queues: 1, ...more }) as PortInput;

async function start(ports: PortInput[]): Promise<void> {
  const { createNode } = (await import(BUILT)) as typeof import('../../src/control/node.js');
  node = createNode(
    { node: { name: 'vhost', workers: 1 }, networks: [{ name: 'blue', broadcastLimit: 0, ports }] },
    { control: false },
  );
  node.on('warning', (message) => warnings.push(message));
  for (const event of ['machine-up', 'machine-down'] as const)
    node.on(event, ({ name }) => comings.push(`${name} ${event}`));
  await node.start();
}

/** A machine that has done what `kind` says of vhostMachine.py. */
async function machine(kind: string, path: string, prefix: string[] = []): Promise<ChildProcess> {
  const [command, ...args] = [...prefix, 'python3', MACHINE, kind, path];
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  children.push(child);
  await once(child.stdout!, 'data');
  return child;
}

async function leave(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}

afterEach(async () => {
  for (const child of children.splice(0)) await leave(child);
  await node?.stop();
  node = null;
  warnings.length = 0;
  comings.length = 0;
});

const portOf = (name: string) => node!.status().ports.find((p) => p.name === name)!;
const reasonsOf = (name: string) => portOf(name).path.reasons.map(({ reason }) => reason);
const messages = () => node!.status().hints.map(({ message }) => message);
const isUp = (name = 'vm0') =>
  until(`${name} is up`, () => portOf(name).deviceState === 'up' && portOf(name).queuesEnabled === 1);
const isDown = (name = 'vm0') => until(`${name} is down`, () => portOf(name).deviceState === 'down');

describeWith(['root', 'addon', 'dpdk', 'python3'], 'the sockets of vhost-user', () => {
  it('stay with who listens in another network namespace, until it is gone', async () => {
    const [own, taken] = [scratchFile('own.sock'), scratchFile('taken.sock')];
    const owner = await machine('listen', taken, ELSEWHERE);
    await start([vhost('vm0', own)]);
    await expect(node!.addPort('blue', vhost('vm1', taken))).rejects.toThrow(/somebody listens at/);
    expect(existsSync(taken)).toBe(true);
    await leave(owner);
    await node!.addPort('blue', vhost('vm1', taken));
    await machine('machine', taken);
    await isUp('vm1');
  });

  it('serve machines of another namespace, and know that one is there', async () => {
    const path = scratchFile('vm0.sock');
    await start([vhost('vm0', path)]);
    expect(messages()).toEqual(['nobody is at the other end']);
    const early = await machine('half', path, ELSEWHERE);
    await until('it is seen', () => /has not started/.test(reasonsOf('vm0').join()));
    expect(messages()).not.toContain('nobody is at the other end');
    await leave(early);
    await until('nobody is there', () => messages().includes('nobody is at the other end'));
    const good = await machine('machine', path, ELSEWHERE);
    await isUp();
    expect(reasonsOf('vm0')).toEqual([]);
    await until('its coming is told of', () => comings.length === 1);
    await leave(good);
    await until('its end is told of', () => comings.length === 2);
    expect(comings).toEqual(['vm0 machine-up', 'vm0 machine-down']);
  });

  it('have one machine at a time: a second one is told of, and after both a good one is served', async () => {
    const path = scratchFile('vm0.sock');
    await start([vhost('vm0', path)]);
    const first = await machine('machine', path);
    await isUp();
    const second = await machine('machine', path);
    await until('two are seen', () => /^2 machines are connected/.test(reasonsOf('vm0').join()));
    await leave(first);
    await isDown();
    await leave(second);
    await until('nobody is there', () => messages().includes('nobody is at the other end'));
    await machine('machine', path);
    await isUp();
    expect(reasonsOf('vm0')).toEqual([]);
  });

  it('are given up in the middle of a message', async () => {
    const path = scratchFile('vm0.sock');
    await start([vhost('vm0', path), vhost('vm1', scratchFile('vm1.sock'))]);
    await machine('half', path);
    await until('it is there', () => /has not started/.test(reasonsOf('vm0').join()));
    // The thread of DPDK that has read what it sent waits for the rest, which never comes: nothing but the cut ends that.
    await node!.removePort('vm0');
    await until('it is said', () =>
      /^devices of DPDK: the port at .*vm0.sock is removed, and a machine .* is cut off/m.test(warnings.join('\n')),
    );
    await node!.addPort('blue', vhost('vm0', path));
    await machine('machine', path);
    await isUp();
  });

  it('say what a machine does wrong with the name of the port, and not too often', async () => {
    const path = scratchFile('vm0.sock');
    await start([vhost('vm0', path)]);
    const began = performance.now();
    await machine('wrong', path);
    const about = () => warnings.filter((line) => line.startsWith('port vm0: '));
    await until('it is said', () => about().length > 0);
    expect(about()[0]).toMatch(/does not share its memory.*; DPDK says: /);
    // In ten seconds three lines, and how many there were more.
    const spells = 1 + Math.floor((performance.now() - began) / 10_000);
    expect(about().length).toBeLessThanOrEqual(4 * spells);
    expect(warnings.filter((line) => line.startsWith('devices of DPDK'))).toEqual([]);
  });

  it('of a machine that listens are taken up again by the next port, and the next node', {
    timeout: 240_000,
  }, async () => {
    const path = scratchFile('vm0.sock');
    const port = vhost('vm0', path, { mode: 'client' });
    await machine('serve', path);
    await start([port]);
    expect(portOf('vm0').machine).toMatchObject({ socket: path, mode: 'client' });
    for (let life = 0; life < 10; life++) {
      await isUp();
      await node!.removePort('vm0');
      await node!.addPort('blue', port);
    }
    await isUp();
    expect(reasonsOf('vm0')).toEqual([]);
    // It has asked for nothing but virtio 1.0.
    const agreed = { rings: 'split', mergeable: false, sends: [], takes: [], features: '0x140000000' };
    expect(portOf('vm0').machine).toMatchObject({ state: 'running', queues: 1, agreed });
    expect(portOf('vm0').path).toMatchObject({ send: 'plain', receive: 'plain' });
    await node!.stop();
    await start([port]);
    await isUp();
  });
});
