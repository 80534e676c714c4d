import { describe, expect, it } from 'vitest';
import { sharedInts } from '../../../src/packet/burst.js';
import type { Plan, PortPlan } from '../../../src/pipeline/plan.js';
import { compilePlan, createTables, isPeerAddress } from '../../../src/pipeline/tables.js';
import { vtepKey } from '../../../src/tunnel/vtep.js';
import { join } from '../../rig/frames.js';
import { network, peer } from '../../rig/pipeline.js';

const port = (id: number, net: number): PortPlan => ({
  id,
  name: `p${id}`,
  network: net,
  kind: 'memory',
  mtu: 1450,
  tap: null,
  pcap: null,
});

const plan = (rest: Partial<Plan>): Plan => ({
  generation: 1,
  node: 'n',
  workers: 1,
  busyPollUs: 0,
  underlays: [],
  routes: [],
  networks: [],
  ports: [],
  peers: [],
  statics: [],
  staticNeighbours: [],
  ...rest,
});

const tables = createTables(sharedInts);
const portsOf = (net: number) =>
  Array.from(
    tables.floodPorts.slice(tables.floodPortFirst[net], tables.floodPortFirst[net] + tables.floodPortCount[net]),
  );
const peersOf = (net: number) =>
  Array.from(
    tables.floodPeers.slice(tables.floodPeerFirst[net], tables.floodPeerFirst[net] + tables.floodPeerCount[net]),
  );
const words = (hex: string) => new Int32Array(join(hex).buffer);
/** 198.18.0.2 as the receiver tells it. */
const MAPPED = words('00000000000000000000ffffc6120002');

const full = plan({
  networks: [
    network(3, { vni: 0x123456, mtu: 1400, ageingSec: 60 }),
    network(7, { vni: 7, underlay: 2 }),
    network(9, { underlay: 0 }),
  ],
  ports: [port(4, 7), port(5, 3), port(6, 3), port(8, 9)],
  peers: [
    peer(11, 3, '198.18.0.2', { udpPort: 8472 }),
    peer(12, 7, '198.18.0.2', { underlay: 2 }),
    peer(13, 3, '2001:db8::17', { dynamic: true }),
  ],
});

const VXLAN = 1;

describe('a compiled plan', () => {
  compilePlan(tables, full);

  it('has the flood lists of each network, learned peers included', () => {
    expect([portsOf(3), portsOf(7), portsOf(9), portsOf(1)]).toEqual([[5, 6], [4], [8], []]);
    expect([peersOf(3), peersOf(7), peersOf(9)]).toEqual([[11, 13], [12], []]);
  });

  it('has what steps ask of networks, ports and peers', () => {
    expect([tables.networkMtu[3], tables.ageingSec[3], tables.networkMtu[7]]).toEqual([1400, 60, 1450]);
    expect([4, 5, 6, 8, 1].map((id) => tables.portNetwork[id])).toEqual([7, 3, 3, 9, 0]);
    expect([11, 12, 13].map((id) => [tables.peerNetwork[id], tables.peerUnderlay[id]])).toEqual([
      [3, 1],
      [7, 2],
      [3, 1],
    ]);
  });

  it('has the destinations of the native sender: family, port, address as it lies in memory', () => {
    const row = (id: number) => Array.from(tables.destinations.slice(id * 8, id * 8 + 8));
    expect(row(11)).toEqual([4, 8472, words('c6120002')[0], 0, 0, 0, 0, 0]);
    expect(row(13)).toEqual([6, 4789, ...words('20010db8000000000000000000000017'), 0, 0]);
  });

  it('finds VTEPs by underlay, VNI and address', () => {
    const { vteps } = tables;
    expect(vteps.findPeer(vtepKey(1, VXLAN), 0x123456, MAPPED, 0)).toBe(11);
    expect(vteps.findPeer(vtepKey(2, VXLAN), 7, MAPPED, 0)).toBe(12);
    expect(vteps.findPeer(vtepKey(1, VXLAN), 7, MAPPED, 0)).toBe(0);
    expect(vteps.findPeer(vtepKey(1, VXLAN), 0x123456, words('20010db8000000000000000000000017'), 0)).toBe(13);
    expect(vteps.findNetwork(vtepKey(1, VXLAN), 7)).toBe(-1);
    // A network of local ports has no VNI on any underlay.
    expect(vteps.findNetwork(vtepKey(0, VXLAN), 49)).toBe(-1);
  });

  it('knows peers by address', () => {
    const v6 = words('20010db8000000000000000000000017');
    expect([11, 12, 13].map((id) => isPeerAddress(tables, id, MAPPED, 0))).toEqual([true, true, false]);
    expect([11, 12, 13].map((id) => isPeerAddress(tables, id, v6, 0))).toEqual([false, false, true]);
  });
});

describe('the next plan', () => {
  it('leaves nothing of the one before', () => {
    compilePlan(tables, full);
    compilePlan(
      tables,
      plan({ networks: [network(3, { vni: 99 })], ports: [port(6, 3)], peers: [peer(12, 3, '198.18.0.9')] }),
    );
    expect([portsOf(3), portsOf(7), portsOf(9)]).toEqual([[6], [], []]);
    expect([peersOf(3), peersOf(7)]).toEqual([[12], []]);
    expect([4, 5, 6].map((id) => tables.portNetwork[id])).toEqual([0, 0, 3]);
    expect([11, 12, 13].map((id) => tables.peerUnderlay[id])).toEqual([0, 1, 0]);
    expect(tables.vteps.findPeer(vtepKey(1, VXLAN), 0x123456, MAPPED, 0)).toBe(0);
    expect(tables.vteps.findNetwork(vtepKey(1, VXLAN), 0x123456)).toBe(-1);
    expect(tables.vteps.findNetwork(vtepKey(1, VXLAN), 99)).toBeGreaterThanOrEqual(0);
  });

  it('that names a peer without network or address is refused', () => {
    expect(() => compilePlan(tables, plan({ peers: [peer(1, 5, '198.18.0.2')] }))).toThrow(RangeError);
    expect(() => compilePlan(tables, plan({ networks: [network(5)], peers: [peer(1, 5, 'nowhere')] }))).toThrow(
      RangeError,
    );
  });
});
