import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Undo } from '../../dist/cli/lab/undo.js';
import type { ConfigInput } from '../../dist/control/config/config.js';
import {
  DESTINATIONS,
  OUTER_BYTES,
  OWN,
  PEER,
  plainFrames,
  stationMac,
  tunnelFrames,
  VNI,
  writeCapture,
} from './captures.js';
import type { Contestant } from './contestant.js';
import {
  dpdkPort,
  makeBridges,
  OVERLAY_BRIDGE,
  placeStations,
  SWITCH_HUGEPAGES,
  settled,
  startOpenVswitch,
  turnExactMatchOff,
  UNDERLAY_BRIDGE,
} from './openVswitch.js';
import { startTestpmd } from './testpmd.js';
import { startWeft } from './weftNode.js';

/** `push`: frames into VXLAN. `pop`: VXLAN packets, of the own endpoint, into frames. */
export type Direction = 'push' | 'pop';

export interface Course {
  direction: Direction;
  /** Of the inner frames. */
  frameLen: number;
  /** The capture that all of them read, again and again. */
  capture: string;
  folder: string;
  /** Core of the one thread that forwards. */
  cpu: number;
  /** The Node that runs weft, and its arguments. */
  program: readonly string[];
}

/** Slots, or mbufs, of each contestant: net_pcap keeps one for every frame of the capture. */
const BUFFERS = 32768;
const FLOOR_MEMORY_MB = 128;
const WEFT_MEMORY_MB = 128;
/** What Open vSwitch, the floor and so many nodes of weft take at once. */
export const hugepages = (nodes: number) =>
  SWITCH_HUGEPAGES + FLOOR_MEMORY_MB / 2 + 48 + (WEFT_MEMORY_MB / 2 + 48) * nodes;

const source = (course: Pick<Course, 'capture'>) => `net_pcap0,rx_pcap=${course.capture},infinite_rx=1`;
const SINK = 'net_null0,no-rx=1';

export function makeCapture(direction: Direction, frameLen: number, folder: string): string {
  const path = join(folder, `${direction}-${frameLen}.pcap`);
  writeCapture(path, direction === 'push' ? plainFrames(frameLen) : tunnelFrames(frameLen));
  return path;
}

/** Frames as they are on the reading side. */
export const wireLen = (direction: Direction, frameLen: number) => frameLen + (direction === 'push' ? 0 : OUTER_BYTES);

export function weftConfig(course: Course): ConfigInput {
  const { direction, cpu } = course;
  const isPush = direction === 'push';
  const place = isPush ? { peer: PEER.address } : { port: 'local' };
  return {
    node: { pinning: [cpu], dpdk: { hugepages: true, memoryMb: WEFT_MEMORY_MB, smallSlots: BUFFERS } },
    underlays: [
      {
        name: 'wire',
        kind: 'frame',
        address: OWN.address,
        // Open vSwitch sends none either.
        checksum: false,
        frame: {
          type: 'dpdk',
          devargs: isPush ? SINK : source(course),
          queues: 1,
          mac: OWN.mac,
          neighbours: { [PEER.address]: PEER.mac },
        },
      },
    ],
    networks: [
      {
        name: 'bench',
        vni: VNI,
        underlay: 'wire',
        peers: [PEER.address],
        ports: [{ name: 'local', type: 'dpdk', devargs: isPush ? source(course) : SINK, queues: 1 }],
        staticMacs: Array.from({ length: DESTINATIONS }, (_, k) => ({ mac: stationMac(2, k), ...place })),
      },
    ],
  };
}

export async function weft(course: Course, undo: Undo, signal: AbortSignal): Promise<Contestant> {
  const { folder, program } = course;
  const node = await startWeft(folder, 'weft', weftConfig(course), program, undo, signal);
  return {
    name: 'weft',
    pid: node.pid,
    async packets() {
      const { peers, ports } = await node.status();
      return course.direction === 'push' ? peers[0].txPackets : ports[0].txPackets;
    },
  };
}

/** The same devices and no work: frames are handed on as they are. */
export async function floor(course: Omit<Course, 'program'>, undo: Undo, signal: AbortSignal): Promise<Contestant> {
  const testpmd = await startTestpmd(
    {
      cpu: course.cpu,
      memoryMb: FLOOR_MEMORY_MB,
      vdevs: [source(course), SINK],
      forward: ['--forward-mode=io', `--total-num-mbufs=${BUFFERS / 2}`],
    },
    undo,
    signal,
  );
  return { name: 'floor', pid: testpmd.pid, packets: () => testpmd.sent(1) };
}

/** How Open vSwitch decides where a frame goes. */
export type Flow = 'fixed' | 'normal';

export async function openVswitch(
  course: Omit<Course, 'program'>,
  undo: Undo,
  signal: AbortSignal,
): Promise<Record<Flow, Contestant>> {
  const folder = join(course.folder, `ovs-${course.direction}-${course.frameLen}`);
  mkdirSync(folder);
  const ovs = await startOpenVswitch(folder, course.cpu, undo, signal);
  await turnExactMatchOff(ovs);
  await makeBridges(ovs, VNI, signal);
  const isPush = course.direction === 'push';
  const [inner, outer] = isPush ? [source(course), SINK] : [SINK, source(course)];
  const [from, to] = isPush ? ['in_port=LOCAL', 'actions=output:1'] : ['in_port=1', 'actions=LOCAL'];
  await ovs.setFlows(UNDERLAY_BRIDGE, `${from},${to}`);
  await ovs.vsctl(...dpdkPort(OVERLAY_BRIDGE, 'local', 1, inner), '--', ...dpdkPort(UNDERLAY_BRIDGE, 'wire', 1, outer));
  const packets = () => (isPush ? ovs.sent(UNDERLAY_BRIDGE, 1) : ovs.sent(OVERLAY_BRIDGE, 1));
  const stations = Array.from({ length: DESTINATIONS }, (_, k) => stationMac(2, k));
  await placeStations(ovs, isPush ? 'tunnel' : 'local', stations);
  let flow: Flow | null = null;
  const contestant = (wanted: Flow): Contestant => ({
    name: `Open vSwitch, ${wanted === 'fixed' ? 'a fixed flow' : 'actions=NORMAL'}`,
    pid: ovs.pid,
    packets,
    async prepare() {
      if (flow === wanted) return;
      flow = wanted;
      const ends = isPush ? [1, 2] : [2, 1];
      await ovs.setFlows(
        OVERLAY_BRIDGE,
        wanted === 'normal' ? 'actions=NORMAL' : `in_port=${ends[0]},actions=output:${ends[1]}`,
      );
      // What the fast path learned from the flow before would stay there, as narrow as it was.
      await ovs.command('revalidator/purge');
      await settled(ovs, signal);
    },
  });
  return { fixed: contestant('fixed'), normal: contestant('normal') };
}
