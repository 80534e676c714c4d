// Nodes with ports over devices of DPDK that need no hardware: frames from file to file, changes while they run, workers that die. Needs
// the built package (worker threads cannot run TypeScript).
import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, it } from 'vitest';
import type { ConfigInput } from '../../src/control/config/config.js';
import type { Node, NodeParts } from '../../src/control/node.js';
import type { Supervisor } from '../../src/worker/supervisor.js';
import { readFrames, writePcap } from '../rig/captureFiles.js';
import { BROADCAST, udp, vxlan } from '../rig/frames.js';
import { scratchFile } from '../rig/node.js';
import { describeWith } from '../rig/requirements.js';
import { sleep, until } from '../rig/waiting.js';

const MACHINE = fileURLToPath(new URL('../rig/vhostMachine.py', import.meta.url));
const built = (path: string) => new URL(`../../dist/${path}`, import.meta.url).href;
const open: Node[] = [];
let supervisor: Supervisor;

async function start(config: ConfigInput, workers = 1): Promise<Node> {
  const { createNode } = (await import(built('control/node.js'))) as typeof import('../../src/control/node.js');
  const { createSupervisor } = (await import(
    built('worker/supervisor.js')
  )) as typeof import('../../src/worker/supervisor.js');
  const { arenaShapeOf } = (await import(
    built('control/arenaShape.js')
  )) as typeof import('../../src/control/arenaShape.js');
  const dataplane: NodeParts['dataplane'] = (checked) => {
    supervisor = createSupervisor({ workers, shape: arenaShapeOf(checked) });
    return supervisor;
  };
  const node = createNode(
    { ...config, node: { name: 'dpdk', workers, ...config.node } },
    { control: false },
    { dataplane },
  );
  open.push(node);
  await node.start();
  return node;
}

afterEach(async () => {
  for (const node of open.splice(0)) await node.stop();
});

const port = (name: string, devargs: string) => ({ type: 'dpdk' as const, name, devargs, queues: 1 });
const network = (ports: ReturnType<typeof port>[]): ConfigInput => ({
  networks: [{ name: 'blue', broadcastLimit: 0, suppressNeighbours: false, ports }],
});
/** Takes all and brings nothing. */
const SILENT = 'net_null1,no-rx=1';
/** A file of frames from one station to another, to be read again and again. */
function endless(): string {
  const path = scratchFile('endless.pcap');
  writePcap(
    path,
    Array.from({ length: 64 }, (_, i) => udp({ src: 1, dst: 2, sport: 1000 + i, payload: 18 })),
  );
  return path;
}
const portOf = (node: Node, name: string) => node.status().ports.find((p) => p.name === name)!;

/** Everything that DPDK lent out is home again. */
async function everythingIsHome(): Promise<void> {
  await until('every slot is home', () => {
    const state = supervisor.dpdkState()!;
    return Object.values(state).every(({ total, free }) => total === free);
  });
}

describeWith(['addon', 'dpdk'], 'a node with ports over DPDK', () => {
  it('hands frames from file to file: flooded while nothing is known, then by MAC', async () => {
    const [input, answers, output, other] = ['in', 'answers', 'out', 'other'].map((name) =>
      scratchFile(`${name}.pcap`),
    );
    const frames = [0, 30, 60, 600, 1458].map((payload, i) => udp({ src: 1, dst: 2, sport: 1000 + i, payload }));
    writePcap(input, [udp({ src: 1, dst: BROADCAST, payload: 4 }), ...frames]);
    writePcap(answers, [udp({ src: 2, dst: 1, payload: 18 })]);
    const node = await start(
      network([
        port('in', `net_pcap0,rx_pcap=${input},tx_pcap=${scratchFile('back.pcap')}`),
        port('out', `net_pcap1,rx_pcap=${answers},tx_pcap=${output}`),
        port('other', `net_pcap2,tx_pcap=${other}`),
      ]),
    );
    await until('all frames are through', () => portOf(node, 'out').txPackets === 6);
    await everythingIsHome();
    expect(portOf(node, 'in')).toMatchObject({ type: 'dpdk', deviceState: 'up', rxPackets: 6, dropped: 0 });
    expect(node.drops().total).toBe(0);
    await node.stop();
    expect(readFrames(output).slice(1).map(String)).toEqual(frames.map((f) => String(Buffer.from(f))));
    expect(readFrames(other).length).toBeGreaterThan(0);
  });

  it('loses no slot over a worker that dies between rx and tx, and goes on', async () => {
    const node = await start(network([port('a', `net_pcap0,rx_pcap=${endless()},infinite_rx=1`), port('b', SILENT)]));
    for (let death = 1; death <= 3; death++) {
      const before = portOf(node, 'b').txPackets;
      await until('frames move', () => portOf(node, 'b').txPackets > before + 100_000);
      await supervisor.terminate(0);
      await until(
        'it is replaced',
        () => node.workers()[0].restarts === death && node.workers()[0].state === 'running',
      );
    }
    await node.removePort('a');
    await everythingIsHome();
  });

  it('loses no slot of its own, or of DPDK, over machines, neighbours and workers that die', {
    timeout: 120_000,
  }, async () => {
    // Frames come in over a socket, into slots of the node, and are flooded to a machine and to shared memory, which DPDK's slots receive.
    const [local, peer] = [1, 2].map((host) => `127.${(process.pid >> 8) & 255}.${process.pid & 255}.${host}`);
    const path = scratchFile('vm.sock');
    const memory = `socket=${scratchFile('memif.sock')},socket-abstract=no`;
    const far = port('far', `net_memif1,role=client,${memory}`);
    const open = { broadcastLimit: 0, suppressNeighbours: false };
    const vm = { type: 'vhost-user' as const, name: 'vm', path, queues: 1 };
    const near = port('near', `net_memif0,role=server,${memory}`);
    const node = await start({
      underlays: [{ name: 'lan', address: local }],
      networks: [
        { name: 'blue', vni: 7, underlay: 'lan', peers: [peer], ...open, ports: [vm, near] },
        { name: 'red', ...open, ports: [far, port('sink', SILENT)] },
      ],
    });
    const socket = createSocket('udp4').bind(0, peer);
    const datagram = vxlan(7, udp({ src: 9, dst: BROADCAST, payload: 1300 }));
    const sender = setInterval(() => {
      for (let i = 0; i < 50; i++) socket.send(datagram, 4789, local);
    }, 5);
    try {
      for (let death = 1; death <= 2; death++) {
        const machine = spawn('python3', [MACHINE, 'machine', path], { stdio: ['pipe', 'pipe', 'inherit'] });
        const before = ['vm', 'sink'].map((name) => portOf(node, name).txPackets);
        const goesOn = () => ['vm', 'sink'].every((name, i) => portOf(node, name).txPackets > before[i] + 50);
        await until('frames reach the machine and the neighbour', goesOn);
        machine.kill('SIGKILL');
        if (death === 2) await node.removePort('far');
        await supervisor.terminate(0);
        const isBack = () => node.workers()[0].restarts === death && node.workers()[0].state === 'running';
        await until('the worker is replaced', isBack);
        await until('the machine is gone', () => portOf(node, 'vm').deviceState === 'down');
        if (death === 2) await node.addPort('red', far);
      }
    } finally {
      clearInterval(sender);
      socket.close();
    }
    await everythingIsHome();
    await until('no worker holds a slot', () => node.status().slots.held === 0);
  });

  it('takes devices in and lets them go while it runs', async () => {
    const source = `net_pcap0,rx_pcap=${endless()},infinite_rx=1`;
    const node = await start(network([]));
    await node.addPort('blue', port('sink', SILENT));
    await node.addPort('blue', port('source', source));
    await until('frames move', () => portOf(node, 'sink').txPackets > 1000);
    await node.removePort('source');
    await expect(node.addPort('blue', port('twin', SILENT))).rejects.toMatchObject({ code: 'CONFIG' });
    await node.addPort('blue', port('source', source));
    const before = portOf(node, 'sink').txPackets;
    await until('frames move again', () => portOf(node, 'sink').txPackets > before);
    expect(node.status().ports.map(({ name }) => name)).toEqual(['sink', 'source']);
    await node.removePort('source');
    await everythingIsHome();
  });

  it('has devices made anew by a reload under the same name, or stays as it was', async () => {
    const source = port('source', `net_pcap0,rx_pcap=${endless()},infinite_rx=1`);
    const peer = '198.18.7.2';
    const configOf = (sink: string, underlay: string): ConfigInput => ({
      node: { name: 'dpdk', workers: 1 },
      underlays: [
        {
          name: 'wire',
          kind: 'frame',
          address: '198.18.7.1',
          frame: {
            type: 'dpdk',
            devargs: underlay,
            mac: '02:00:00:00:00:70',
            neighbours: { [peer]: '02:00:00:00:00:71' },
          },
        },
      ],
      networks: [
        {
          name: 'blue',
          underlay: 'wire',
          vni: 7,
          broadcastLimit: 0,
          suppressNeighbours: false,
          peers: [peer],
          ports: [source, port('sink', sink)],
        },
      ],
    });
    const underlay = (size: number) => `net_null4,no-rx=1,size=${size}`;
    const sentBy = (node: Node) => [portOf(node, 'sink').txPackets, node.stats().underlays[0].txPackets];
    const goesOn = async (node: Node) => {
      const before = sentBy(node);
      await until('frames leave on both', () => sentBy(node).every((n, i) => n > before[i]));
    };
    const node = await start(configOf(SILENT, underlay(64)));
    await goesOn(node);
    const document = await node.reload(configOf(`${SILENT},size=128`, underlay(128)));
    expect(document.changes).toEqual([
      expect.objectContaining({ kind: 'underlay', name: 'wire', effect: 'reopened' }),
      expect.objectContaining({ kind: 'port', name: 'sink', effect: 'recreated' }),
    ]);
    await goesOn(node);
    // Names change hands: what one had is the other's now.
    await node.reload(configOf('net_null4,no-rx=1', SILENT));
    await goesOn(node);
    for (const [sink, wire] of [
      ['net_null4,no-such=1', SILENT],
      ['net_null4,no-rx=1', 'net_null1,no-such=1'],
    ]) {
      await expect(node.reload(configOf(sink, wire))).rejects.toMatchObject({ code: 'DEVICE' });
      await goesOn(node);
    }
    await node.removePort('source');
    await everythingIsHome();
  });

  it('refuses what it cannot have, and says why', async () => {
    await expect(start(network([port('a', 'net_nosuch0')]))).rejects.toThrow(/port a: rte_dev_probe/);
    open.pop();
    // Two gigabytes of slots without those of DPDK, which nobody touches.
    const arena = { smallSlots: 65536, largeSlots: 8192 };
    const full = await start({ networks: [{ name: 'blue', ports: [] }], node: { arena } }, 2);
    await expect(full.addPort('blue', port('late', 'net_null0'))).rejects.toMatchObject({ code: 'RESTART' });
  });

  it('sleeps while its devices are silent, and wakes up for a frame', async () => {
    const node = await start(network([port('a', SILENT), port('b', 'net_null2,no-rx=1')]));
    expect(portOf(node, 'a')).toMatchObject({
      idle: 'sleep',
      queuesEnabled: 1,
      path: { reasons: [expect.objectContaining({ feature: 'interrupts' })] },
    });
    // The spare thread warms up two seconds after the start.
    await sleep(3500);
    const { turns } = node.workers()[0];
    await sleep(500);
    expect(node.workers()[0].turns - turns).toBeLessThan(300);
  });
});
