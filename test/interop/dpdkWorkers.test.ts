// Workers that die over a frame underlay of DPDK while frames go out of the tunnel and into it: testpmd is the machine on the overlay, and the wire.
import { afterEach, expect, it } from 'vitest';
import type { ConfigInput } from '../../src/control/config/config.js';
import type { Node, NodeParts } from '../../src/control/node.js';
import type { Supervisor } from '../../src/worker/supervisor.js';
import { writePcap } from '../rig/captureFiles.js';
import { outer, udp, vxlan } from '../rig/frames.js';
import { scratchFile } from '../rig/node.js';
import { isComplete, type PcapGuests, pcapGuests } from '../rig/pcapGuests.js';
import { describeWith } from '../rig/requirements.js';
import { until } from '../rig/waiting.js';

const built = (path: string) => new URL(`../../dist/${path}`, import.meta.url).href;
const OWN = { address: '198.18.7.1', mac: '02:00:00:00:00:70' };
const PEER = { address: '198.18.7.2', mac: '02:00:00:00:00:71' };
const VNI = 7;
const QUEUES = 2;
const bytesOf = (mac: string) => mac.split(':').map((byte) => Number.parseInt(byte, 16));
let node: Node | null = null;
let machines: PcapGuests | null = null;
let supervisor: Supervisor;

afterEach(async () => {
  await machines?.end();
  machines = null;
  await node?.stop();
  node = null;
});

async function start(config: ConfigInput): Promise<Node> {
  const { createNode } = (await import(built('control/node.js'))) as typeof import('../../src/control/node.js');
  const { createSupervisor } = (await import(
    built('worker/supervisor.js')
  )) as typeof import('../../src/worker/supervisor.js');
  const dataplane: NodeParts['dataplane'] = () => {
    const shape = { neighbourBytes: 65536, dpdkSlots: { small: 4096, large: 1024 } };
    supervisor = createSupervisor({ workers: QUEUES, shape });
    return supervisor;
  };
  const made = createNode(config, { control: false }, { dataplane });
  await made.start();
  return made;
}

/** Frames of 50 flows, in a file. */
function fileOf(make: (flow: number) => Uint8Array): string {
  const path = scratchFile('flows.pcap');
  writePcap(
    path,
    Array.from({ length: 50 }, (_, flow) => make(flow)),
  );
  return path;
}
const outgoing = (flow: number) => udp({ src: 1, dst: 2, sport: 1000 + flow, payload: 18 + 20 * flow });
const incoming = (flow: number) =>
  outer(
    {
      src: PEER.address,
      dst: OWN.address,
      srcMac: bytesOf(PEER.mac),
      dstMac: bytesOf(OWN.mac),
      sport: 50_000 + flow,
      checksum: 'good',
    },
    vxlan(VNI, udp({ src: 2, dst: 1, sport: 1000 + flow, payload: 18 + 20 * flow })),
  );

describeWith(['addon', 'dpdk', 'testpmd'], 'workers that die over a frame underlay of DPDK', () => {
  it('are replaced, and what they had is counted and home', { timeout: 120_000 }, async () => {
    const [machine, wire] = [scratchFile('vm0.sock'), scratchFile('wire.sock')];
    const base: ConfigInput = { node: { name: 'wire', workers: QUEUES }, networks: [{ name: 'blue' }] };
    node = await start({
      ...base,
      underlays: [
        {
          name: 'wire',
          kind: 'frame',
          address: OWN.address,
          frame: {
            type: 'dpdk',
            devargs: `net_vhost7,iface=${wire},queues=${QUEUES}`,
            queues: QUEUES,
            mac: OWN.mac,
            neighbours: { [PEER.address]: PEER.mac },
          },
        },
      ],
      networks: [
        {
          name: 'blue',
          vni: VNI,
          underlay: 'wire',
          broadcastLimit: 0,
          suppressNeighbours: false,
          peers: [PEER.address],
          staticMacs: [
            { mac: '02:00:00:00:00:01', port: 'vm0' },
            { mac: '02:00:00:00:00:02', peer: PEER.address },
          ],
          ports: [{ type: 'vhost-user', name: 'vm0', path: machine, queues: QUEUES }],
        },
      ],
    });
    const twice = (path: string) => Array(QUEUES).fill(path);
    machines = pcapGuests({
      guests: [
        { path: machine, inputs: twice(fileOf(outgoing)), isEndless: true },
        { path: wire, inputs: twice(fileOf(incoming)), isEndless: true },
      ],
      mtu: 1600,
      queues: QUEUES,
      mbufBytes: 2304,
    });
    await machines.ready();
    const isUp = ({ deviceState }: { deviceState: string | null }) => deviceState === 'up';
    const ends = () => [...node!.status().ports, ...node!.status().underlays];
    await until('both are there', () => ends().every(isUp) && node!.status().ports.every(isComplete));
    await machines.start();
    const figures = () => [node!.stats().ports[0], node!.stats().underlays[0]];
    const sent = () => figures().map(({ txPackets }) => txPackets);
    const goesOn = async () => {
      const before = sent();
      await until('frames leave both ways', () => sent().every((n, i) => n > before[i] + 5000));
    };
    await goesOn();
    const absent = () => node!.drops().reasons.find(({ reason }) => reason === 'device-gone')?.packets ?? 0;
    const before = absent();
    for (let death = 1; death <= 2; death++) {
      const worker = death % QUEUES;
      const { restarts } = node.workers()[worker];
      await supervisor.terminate(worker);
      const isBack = () => node!.workers()[worker].restarts > restarts && node!.workers()[worker].state === 'running';
      await until('it is replaced', isBack);
      await goesOn();
    }
    await machines.stop();
    const came = [await machines.sent(0), await machines.sent(1)];
    await until('all that was sent has come', () => figures().every(({ rxPackets }, i) => rxPackets >= came[i]));
    await until('the node is quiet', () => node!.stats().account.held === 0);
    expect(figures().map(({ rxPackets }) => rxPackets)).toEqual(came);
    // What DPDK has taken from workers is what they have counted.
    const { dpdk } = (await import(built('native/dpdk.js'))) as typeof import('../../src/native/dpdk.js');
    expect([0, 1].map((device) => dpdk().state(device).txPackets)).toEqual(sent());
    const reasons = node.drops().reasons.map(({ reason }) => reason);
    expect(reasons.filter((reason) => !['worker-lost', 'tx-full', 'device-gone'].includes(reason))).toEqual([]);
    expect(absent()).toBe(before);
    await node.reload(base);
    await until('every slot is home', () =>
      Object.values(supervisor.dpdkState()!).every(({ total, free }) => total === free),
    );
  });
});
