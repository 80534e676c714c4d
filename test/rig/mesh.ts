// Three nodes in a full mesh with two tenants: same MACs, same addresses, each station in a namespace of its own.
import type { ConfigInput } from '../../src/control/config/config.js';
import type { MacDocument } from '../../src/observe/documents.js';
import { readFrames } from './captureFiles.js';
import { stationMac } from './frames.js';
import { makeMesh, makeQuietNamespace } from './hosts.js';
import { up, type WeftNode } from './node.js';
import { type Recording, record } from './tshark.js';
import { sleep, until } from './waiting.js';

export const HOSTS = [1, 2, 3];
export const TENANTS = [
  { name: 'blue', vni: 100, ageing: 300 },
  { name: 'red', vni: 0xffffff, ageing: 6 },
] as const;
export type Tenant = (typeof TENANTS)[number]['name'];

/** Name of every station's device: the same in each namespace. */
export const DEVICE = 'eth0';
/** A MAC that node 1 of tenant blue is told to find behind node 2. */
export const STATIC = 50;

export const underlayAddress = (n: number) => `198.18.0.${n}`;
export const overlayAddress = (n: number) => `10.0.0.${n}`;
export const macText = (n: number) => Buffer.from(stationMac(n)).toString('hex').replace(/..\B/g, '$&:');

/** Namespace of a tenant's station behind node n. */
type StationOf = (tenant: Tenant, n: number) => string;

function configOf(n: number, station: StationOf): ConfigInput {
  const peers = HOSTS.filter((other) => other !== n).map(underlayAddress);
  return {
    // One of them with two workers: two queues, two sockets, one switch.
    node: { workers: n === 3 ? 2 : 1 },
    underlays: [{ name: 'wire', address: underlayAddress(n) }],
    networks: TENANTS.map(({ name, vni, ageing }) => ({
      name,
      vni,
      ageing,
      underlay: 'wire',
      peers,
      staticMacs: name === 'blue' && n === 1 ? [{ mac: macText(STATIC), peer: underlayAddress(2) }] : [],
      ports: [
        {
          type: 'tap' as const,
          name,
          device: DEVICE,
          netns: station(name, n),
          mac: macText(n),
          addresses: [`${overlayAddress(n)}/24`],
        },
      ],
    })),
  };
}

export interface Mesh {
  nodes: WeftNode[];
  node(n: number): WeftNode;
  station: StationOf;
  /** Where node n has a tenant's station: name of the port, or address of the peer. */
  whereIs(n: number, tenant: Tenant, who: number): Promise<string | null | undefined>;
  /** Records frames of an EtherType that the stations of a tenant receive, in the order of the nodes; `least`: how many each must have to stop. */
  listen(tenant: Tenant, type: number): Promise<{ stop(least?: number[]): Promise<Buffer[][]> }>;
}

/** Frames of a file that is being written: the last may be half there. */
function framesIn(path: string): number {
  try {
    return readFrames(path).length;
  } catch {
    return 0;
  }
}

export async function startMesh(): Promise<Mesh> {
  const hosts = makeMesh(HOSTS.length);
  const stations = new Map<string, string>();
  for (const { name } of TENANTS) {
    for (const n of HOSTS) stations.set(`${name} ${n}`, makeQuietNamespace(`${name}${n}`));
  }
  const station: StationOf = (tenant, n) => stations.get(`${tenant} ${n}`) as string;
  const nodes: WeftNode[] = [];
  for (const n of HOSTS) nodes.push(await up(hosts[n - 1].namespace, configOf(n, station)));
  const node = (n: number) => nodes[n - 1];
  return {
    nodes,
    node,
    station,
    async whereIs(n, tenant, who) {
      const macs = await node(n).read<MacDocument[]>('mac');
      const found = macs.find(({ network, mac }) => network === tenant && mac === macText(who));
      return found && (found.port ?? found.peer);
    },
    async listen(tenant, type) {
      const recordings: Recording[] = [];
      const filter = `ether proto ${type}`;
      for (const n of HOSTS) recordings.push(await record(station(tenant, n), DEVICE, { direction: 'in', filter }));
      return {
        async stop(least = []) {
          const areHeard = () => recordings.every(({ path }, i) => framesIn(path) >= (least[i] ?? 0));
          // What never comes shows in what is compared.
          await until('what should come', areHeard, { withinMs: 10_000 }).catch(() => {});
          // Time for what should not come to come.
          await sleep(250);
          return Promise.all(recordings.map(async (recording) => readFrames(await recording.stop())));
        },
      };
    },
  };
}
