// Numbered frames of several flows from a machine of two queues, carried by two workers: each flow arrives in the order in which it was sent.
import { afterEach, expect, it } from 'vitest';
import type { PortInput } from '../../src/control/config/config.js';
import type { Node, NodeParts } from '../../src/control/node.js';
import type { Supervisor } from '../../src/worker/supervisor.js';
import { readFrames, writePcap } from '../rig/captureFiles.js';
import { udp } from '../rig/frames.js';
import { scratchFile } from '../rig/node.js';
import { isComplete, type PcapGuest, type PcapGuests, pcapGuests } from '../rig/pcapGuests.js';
import { describeWith } from '../rig/requirements.js';
import { until } from '../rig/waiting.js';

const built = (path: string) => new URL(`../../dist/${path}`, import.meta.url).href;
const WORKERS = 2;
/** Of each queue: a driver keeps a flow in one of them. */
const FLOWS = 4;
/** Where a frame has its flow, in bytes: the source port, and its number, at the end of 60 bytes. */
const [FLOW_AT, NUMBER_AT] = [34, 56];
let node: Node | null = null;
let supervisor: Supervisor;
const machines: PcapGuests[] = [];

afterEach(async () => {
  for (const machine of machines.splice(0)) await machine.end();
  await node?.stop();
  node = null;
});

async function start(ports: PortInput[]): Promise<void> {
  const { createNode } = (await import(built('control/node.js'))) as typeof import('../../src/control/node.js');
  const { createSupervisor } = (await import(
    built('worker/supervisor.js')
  )) as typeof import('../../src/worker/supervisor.js');
  const dataplane: NodeParts['dataplane'] = () => {
    const shape = { neighbourBytes: 65536, dpdkSlots: { small: 4096, large: 1024 } };
    supervisor = createSupervisor({ workers: WORKERS, shape });
    return supervisor;
  };
  const staticMacs = [{ mac: '02:00:00:00:00:02', port: 'vm1' }];
  node = createNode(
    {
      node: { name: 'order', workers: WORKERS },
      networks: [{ name: 'blue', broadcastLimit: 0, suppressNeighbours: false, staticMacs, ports }],
    },
    { control: false },
    { dataplane },
  );
  await node.start();
}

/** A file for each queue: `count` frames, of its flows in turn. */
function numbered(count: number): string[] {
  return Array.from({ length: WORKERS }, (_, queue) => {
    const flows = Array.from({ length: FLOWS }, (_, flow) =>
      udp({ src: 1, dst: 2, sport: 1000 + queue * FLOWS + flow, payload: 18, checksum: 'zero' }),
    );
    const path = scratchFile('numbered.pcap');
    writePcap(
      path,
      Array.from({ length: count }, (_, number) => {
        const frame = Buffer.from(flows[number % FLOWS]);
        frame.writeUInt32BE(number, NUMBER_AT);
        return frame;
      }),
    );
    return path;
  });
}

/** Frames by flow; those that came behind a later one of their flow, or twice. */
function look(path: string): { flows: Map<number, number>; late: string[] } {
  const [last, flows, late] = [new Map<number, number>(), new Map<number, number>(), [] as string[]];
  for (const frame of readFrames(path)) {
    const flow = frame.readUInt16BE(FLOW_AT);
    const number = frame.readUInt32BE(NUMBER_AT);
    const before = last.get(flow) ?? -1;
    if (number <= before) late.push(`flow ${flow}: ${number} behind ${before}`);
    last.set(flow, Math.max(number, before));
    flows.set(flow, (flows.get(flow) ?? 0) + 1);
  }
  return { flows, late };
}

const portOf = (name: string) => node!.stats().ports.find((port) => port.name === name)!;
const allFlows = Array.from({ length: WORKERS * FLOWS }, (_, i) => 1000 + i);
const ascending = (numbers: Iterable<number>) => [...numbers].sort((a, b) => a - b);

function run(guests: PcapGuest[], queues: number): PcapGuests {
  // Who finds no room in a ring waits for it.
  const commands = ['set burst tx delay 100 retry 10000'];
  const machine = pcapGuests({ guests, queues, mtu: 1500, mbufBytes: 2304, forward: 'io retry', commands });
  machines.push(machine);
  return machine;
}

async function areReady(): Promise<void> {
  for (const machine of machines) await machine.ready();
  await until('the machines are there', () => node!.status().ports.every(isComplete));
}

/** `count` frames were to be sent, some of which found no room in their queue; all others are with the second machine, or were dropped. */
async function isOver(sender: PcapGuests, receiver: PcapGuests, guest: number, count: number): Promise<void> {
  await until('all frames have set off', async () => (await sender.read(0)) === count, { withinMs: 100_000 });
  await sender.stop();
  const sent = await sender.sent(0);
  await until('all frames have come', () => portOf('vm0').rxPackets === sent);
  await until('the node is quiet', () => node!.stats().account.held === 0);
  if (receiver !== sender)
    await until('all frames are written', async () => (await receiver.written(guest)) === portOf('vm1').txPackets);
  for (const machine of machines.splice(0)) await machine.end();
}

describeWith(['addon', 'dpdk', 'testpmd'], 'two queues, two workers', () => {
  it('keep the frames of a flow in order, and in one queue', { timeout: 240_000 }, async () => {
    const COUNT = 10_000;
    const paths = [scratchFile('vm0.sock'), scratchFile('vm1.sock')];
    const outputs = [scratchFile('out0.pcap'), scratchFile('out1.pcap')];
    await start(paths.map((path, i): PortInput => ({ type: 'vhost-user', name: `vm${i}`, path, queues: 2 })));
    const guests = [
      { path: paths[0], inputs: numbered(COUNT) },
      { path: paths[1], outputs },
    ];
    const machine = run(guests, 2);
    await areReady();
    await machine.start();
    await isOver(machine, machine, 1, 2 * COUNT);
    const seen = outputs.map(look);
    expect(seen.flatMap(({ late }) => late)).toEqual([]);
    expect(ascending(seen.flatMap(({ flows }) => [...flows.keys()]))).toEqual(allFlows);
    expect(node!.drops().reasons.filter(({ reason }) => reason !== 'tx-full')).toEqual([]);
  });

  it('keep them in order while workers come, go and die', { timeout: 240_000 }, async () => {
    const COUNT = 100_000;
    const paths = [scratchFile('vm0.sock'), scratchFile('vm1.sock')];
    const output = scratchFile('out.pcap');
    await start(paths.map((path, i): PortInput => ({ type: 'vhost-user', name: `vm${i}`, path, queues: 2 - i })));
    const inputs = numbered(COUNT);
    // Of one queue, where all flows meet.
    const receiver = run([{ path: paths[1], outputs: [output] }], 1);
    const sender = run([{ path: paths[0], inputs }], 2);
    await areReady();
    await receiver.start();
    await sender.start();
    const isUnderWay = async () => (await sender.read(0)) < 2 * COUNT * 0.95;
    let changes = 0;
    for (const change of [
      () => node!.setWorkers(1),
      () => node!.setWorkers(2),
      () => supervisor.terminate(0),
      () => supervisor.terminate(1),
    ]) {
      if (!(await isUnderWay())) break;
      const before = portOf('vm1').txPackets;
      await until('frames move', async () => portOf('vm1').txPackets > before + 2000 || !(await isUnderWay()));
      await change();
      changes++;
    }
    await isOver(sender, receiver, 0, 2 * COUNT);
    const { flows, late } = look(output);
    expect(late).toEqual([]);
    expect(ascending(flows.keys())).toEqual(allFlows);
    expect(changes).toBeGreaterThan(0);
  });
});
