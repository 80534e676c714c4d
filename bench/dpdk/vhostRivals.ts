import { join } from 'node:path';
import { must, sleep } from '../../dist/cli/lab/commands.js';
import type { Undo } from '../../dist/cli/lab/undo.js';
import type { ConfigInput } from '../../dist/control/config/config.js';
import { inside, makeNamespace } from '../system/rig.js';
import { OWN, PEER, stationMac, VNI } from './captures.js';
import type { Contestant } from './contestant.js';
import {
  makeBridges,
  type OpenVswitch,
  OVERLAY_BRIDGE,
  SWITCH_HUGEPAGES,
  startOpenVswitch,
  UNDERLAY_BRIDGE,
} from './openVswitch.js';
import { startTestpmd, type Testpmd } from './testpmd.js';
import { startWeft } from './weftNode.js';

/** Where a contestant works, and with frames of what length. */
export interface Place {
  folder: string;
  frameLen: number;
  /** Core of the thread that forwards; what plays the machines has the other. */
  cpu: number;
  program: string;
  undo: Undo;
  signal: AbortSignal;
}

const MEMORY_MB = 96;
/** Of three contestants and the machines in front of each. */
export const HUGEPAGES = SWITCH_HUGEPAGES + (6 * (MEMORY_MB + 32)) / 2;
const MACS = [stationMac(1, 0), stationMac(1, 1)];
/** The kernel's station behind the tunnel. */
const KERNEL_MAC = stationMac(2, 0);
const KERNEL_DEVICE = 'kernel0';
/** Enough to keep both rings of 1024 busy, and few enough that none is ever dropped. */
const FIRST_BURSTS = 12;
/** What a machine does with a frame: out by the other device, to the MAC behind that. */
const CIRCLING = 'mac';
const RESTARTS_MAX = 20;
const RESTART_MS = 200;

const machineCpu = ({ cpu }: Place) => (cpu === 0 ? 0 : cpu - 1);

/** Two machines in one: a frame that comes into one device leaves by the other, with its MAC, for ever. */
function circle(place: Place, sockets: readonly string[]): Promise<Testpmd> {
  const settings = {
    cpu: machineCpu(place),
    memoryMb: MEMORY_MB,
    vdevs: sockets.map((path, k) => `net_virtio_user${k},path=${path},queue_size=1024,mac=${MACS[k]}`),
    forward: [
      ...[`--forward-mode=${CIRCLING}`, '--total-num-mbufs=8192', `--txpkts=${place.frameLen}`],
      ...MACS.map((_, k) => `--eth-peer=${k},${MACS[1 - k]}`),
    ],
    firstBursts: FIRST_BURSTS,
  };
  return startTestpmd(settings, place.undo, place.signal);
}

/** A machine that sends to the kernel's station as fast as it can. */
function sender(place: Place, socket: string): Promise<Testpmd> {
  const settings = {
    cpu: machineCpu(place),
    memoryMb: MEMORY_MB,
    vdevs: [`net_virtio_user0,path=${socket},queue_size=1024,mac=${MACS[0]}`],
    forward: [
      ...['--forward-mode=txonly', '--total-num-mbufs=8192', `--txpkts=${place.frameLen}`],
      ...['--txonly-multi-flow', `--eth-peer=0,${KERNEL_MAC}`],
    ],
  };
  return startTestpmd(settings, place.undo, place.signal);
}

const looped = (name: string, pid: number, machines: Testpmd): Contestant => ({
  name,
  pid,
  companions: [machines.pid],
  packets: machines.received,
  // What is lost is missing from the circle; all of it is, where a port has not seen its machine come yet.
  async prepare() {
    for (let tries = 0; tries < RESTARTS_MAX; tries++) {
      await machines.restart(CIRCLING);
      const before = await machines.received();
      await sleep(RESTART_MS);
      if ((await machines.received()) > before) return;
    }
  },
});

export async function testpmdLoop(place: Place): Promise<Contestant> {
  const sockets = MACS.map((_, k) => join(place.folder, `testpmd${k}.sock`));
  const settings = {
    cpu: place.cpu,
    memoryMb: MEMORY_MB,
    vdevs: sockets.map((path, k) => `net_vhost${k},iface=${path}`),
    forward: ['--forward-mode=macswap', '--total-num-mbufs=8192'],
  };
  const server = await startTestpmd(settings, place.undo, place.signal);
  return looped('testpmd', server.pid, await circle(place, sockets));
}

const vhostPorts = (folder: string, count: number) =>
  Array.from({ length: count }, (_, k) => ({
    name: `vm${k}`,
    type: 'vhost-user' as const,
    path: join(folder, `weft${k}.sock`),
    queues: 1,
  }));

const nodeSettings = (cpu: number) => ({
  pinning: [cpu],
  dpdk: { hugepages: true, memoryMb: MEMORY_MB, idle: 'busy' as const },
});

export async function weftLoop(place: Place): Promise<Contestant> {
  const { folder, cpu, program, undo, signal } = place;
  const ports = vhostPorts(folder, 2);
  const config: ConfigInput = { node: nodeSettings(cpu), networks: [{ name: 'bench', ports }] };
  const node = await startWeft(folder, 'weft', config, [program], undo, signal);
  const sockets = ports.map(({ path }) => path);
  return looped('weft', node.pid, await circle(place, sockets));
}

/** Ports 1 and on of the overlay bridge. */
async function addVhostPorts(ovs: OpenVswitch, folder: string, count: number): Promise<string[]> {
  const names = Array.from({ length: count }, (_, k) => `vm${k}`);
  for (const [k, name] of names.entries()) {
    const port = ['type=dpdkvhostuser', `ofport_request=${11 + k}`];
    await ovs.vsctl('add-port', OVERLAY_BRIDGE, name, '--', 'set', 'interface', name, ...port);
  }
  return names.map((name) => join(folder, name));
}

export async function openVswitchLoop(place: Place): Promise<Contestant> {
  const { folder, cpu, undo, signal } = place;
  const ovs = await startOpenVswitch(folder, cpu, undo, signal);
  await makeBridges(ovs, VNI, signal);
  const sockets = await addVhostPorts(ovs, folder, 2);
  await ovs.setFlows(OVERLAY_BRIDGE, 'in_port=11,actions=output:12', 'in_port=12,actions=output:11');
  return looped('Open vSwitch', ovs.pid, await circle(place, sockets));
}

/** A namespace with a kernel's VXLAN, wired to `device` of another namespace. Returns how many frames came out of the tunnel so far. */
async function makeKernel(label: string, netns: string, device: string, place: Place): Promise<() => Promise<number>> {
  const { undo, signal } = place;
  const far = await makeNamespace(label, undo, signal);
  const ends = ['netns', netns, 'type', 'veth', 'peer', 'name', 'far0', 'netns', far];
  await must(['ip', 'link', 'add', device, ...ends], signal);
  const ip = (...args: string[]) => must(['ip', '-n', far, ...args], signal);
  await ip('link', 'set', 'far0', 'address', PEER.mac, 'up');
  await ip('address', 'add', `${PEER.address}/24`, 'dev', 'far0');
  const tunnel = ['local', PEER.address, 'remote', OWN.address, 'dstport', '4789', 'dev', 'far0'];
  await ip('link', 'add', KERNEL_DEVICE, 'type', 'vxlan', 'id', `${VNI}`, ...tunnel);
  await ip('link', 'set', KERNEL_DEVICE, 'address', KERNEL_MAC, 'up');
  await must(['ip', '-n', netns, 'link', 'set', device, 'up'], signal);
  const counter = `/sys/class/net/${KERNEL_DEVICE}/statistics/rx_packets`;
  return async () => Number(await must(inside({ netns: far }, 'cat', counter), signal));
}

export async function weftToKernel(place: Place): Promise<Contestant> {
  const { folder, cpu, program, undo, signal } = place;
  const netns = await makeNamespace('weft', undo, signal);
  const packets = await makeKernel('weft-far', netns, 'near0', place);
  await must(['ip', '-n', netns, 'address', 'add', `${OWN.address}/24`, 'dev', 'near0'], signal);
  const ports = vhostPorts(folder, 1);
  const config: ConfigInput = {
    node: nodeSettings(cpu),
    underlays: [{ name: 'wire', address: OWN.address }],
    networks: [
      {
        name: 'bench',
        vni: VNI,
        underlay: 'wire',
        peers: [PEER.address],
        staticMacs: [{ mac: KERNEL_MAC, peer: PEER.address }],
        ports,
      },
    ],
  };
  const node = await startWeft(folder, 'weft', config, [program], undo, signal, netns);
  const machine = await sender(place, ports[0].path);
  return { name: 'weft', pid: node.pid, companions: [machine.pid], packets };
}

export async function openVswitchToKernel(place: Place): Promise<Contestant> {
  const { folder, cpu, undo, signal } = place;
  const ovs = await startOpenVswitch(folder, cpu, undo, signal);
  const packets = await makeKernel('ovs-far', ovs.namespace, 'near0', place);
  await makeBridges(ovs, VNI, signal);
  await ovs.vsctl('add-port', UNDERLAY_BRIDGE, 'near0', '--', 'set', 'interface', 'near0', 'ofport_request=1');
  await ovs.setFlows(UNDERLAY_BRIDGE, 'in_port=LOCAL,actions=output:1', 'in_port=1,actions=LOCAL');
  const [socket] = await addVhostPorts(ovs, folder, 1);
  await ovs.setFlows(OVERLAY_BRIDGE, 'in_port=11,actions=output:2');
  const machine = await sender(place, socket);
  return { name: 'Open vSwitch', pid: ovs.pid, companions: [machine.pid], packets };
}
