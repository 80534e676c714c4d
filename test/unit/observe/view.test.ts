import { describe, expect, it } from 'vitest';
import type { DataplaneView } from '../../../src/observe/dataplane.js';
import { buildDrops, buildStats } from '../../../src/observe/figures.js';
import { buildNeighbours, buildPeers, buildStatus, type NodeView } from '../../../src/observe/view.js';
import {
  DROP_BASE,
  LAST_ERRNO,
  LAST_HEARD,
  MISSED,
  makeCounterBlock,
  NETWORK_ROW,
  PEER_ROW,
  PORT_ROW,
  ROW_WIDTH,
  RX_PACKETS,
  TX_PACKETS,
  UNDERLAY_ROW,
} from '../../../src/packet/counters.js';
import { DROP } from '../../../src/packet/drop.js';
import type { Plan } from '../../../src/pipeline/plan.js';
import { tunnelPlan } from '../../../src/tunnel/tunnel.js';

const PLAN: Plan = {
  generation: 3,
  node: 'n',
  workers: 2,
  busyPollUs: 50,
  underlays: [
    {
      id: 1,
      name: 'wan',
      underlay: 'wan',
      kind: 'udp',
      tunnel: 'vxlan',
      address: '192.0.2.1',
      device: null,
      udpPort: 4789,
      checksum: true,
      sourcePortFirst: 0,
      sourcePortCount: 1,
      dscp: 0,
      ttl: 64,
      deliverOffloadLeak: false,
      offloads: { segment: true, gro: true },
      frame: null,
    },
  ],
  networks: [
    {
      id: 1,
      name: 'blue',
      mode: 'l2',
      tunnel: tunnelPlan('vxlan', 42),
      domain: 1,
      vtepMac: null,
      underlays: [1],
      mtu: 1450,
      ageingSec: 300,
      macLimit: 8,
      neighbourLimit: 0,
      broadcastPps: 0,
      acceptUnknownPeers: false,
    },
  ],
  ports: [{ id: 5, name: 'web', network: 1, kind: 'memory', mtu: 1450, tap: null, pcap: null }],
  peers: [
    { id: 9, network: 1, underlay: 1, address: '192.0.2.2', udpPort: 4789, mac: null, direct: false, dynamic: false },
  ],
  statics: [],
  staticNeighbours: [],
  routes: [],
};

function makeView(
  fill: (first: Float64Array, second: Float64Array, retired: Float64Array) => void = () => {},
): NodeView {
  const counters = [new Float64Array(makeCounterBlock()), new Float64Array(makeCounterBlock())];
  const retired = new Float64Array(makeCounterBlock());
  fill(counters[0], counters[1], retired);
  const dataplane: DataplaneView = {
    counters,
    macs: () => [],
    neighbours: () => [],
    nextHop: () => ({ state: 'resolving', mac: 0 }),
    workers: () => [
      {
        index: 0,
        threadId: 1,
        state: 'running',
        restarts: 1,
        turns: 0,
        isSleeping: false,
        cpu: null,
        lastError: 'boom',
      },
    ],
    slots: () => [
      { total: 10, free: 0, held: 10 },
      { total: 10, free: 0, held: 10 },
    ],
    gsoFallbacks: () => [0, 2],
  };
  const path = { send: 'superframes' as const, receive: 'superframes' as const, reasons: [] };
  return {
    plan: PLAN,
    dataplane,
    devices: {
      ports: new Map(),
      underlays: new Map([
        [1, { path, device: 'eth0', deviceMtu: 1500, sourcePorts: [50000], state: () => 'down' as const }],
      ]),
    },
    retired,
    node: { name: 'n', version: '0', pid: 1, state: 'running', socket: null },
    startedAt: 100,
    now: 130,
  };
}

const at = (row: number, counter: number) => row * ROW_WIDTH + counter;

describe('drops', () => {
  it('are summed over workers and said by place, once each', () => {
    const view = makeView((first, second, retired) => {
      first[at(UNDERLAY_ROW + 1, DROP_BASE + DROP['unknown-vni'])] = 3;
      second[at(UNDERLAY_ROW + 1, DROP_BASE + DROP['unknown-vni'])] = 4;
      first[at(PORT_ROW + 5, DROP_BASE + DROP['too-big'])] = 10;
      // Networks repeat what was charged elsewhere.
      first[at(NETWORK_ROW + 1, DROP_BASE + DROP['too-big'])] = 10;
      retired[at(PORT_ROW, DROP_BASE + DROP['too-big'])] = 1;
      first[at(UNDERLAY_ROW + 1, MISSED)] = 6;
    });
    expect(buildDrops(view)).toEqual({
      total: 18,
      missed: 6,
      reasons: [
        {
          reason: 'too-big',
          text: 'inner packet larger than the MTU of the network',
          packets: 11,
          where: [
            { kind: 'port', name: 'web', packets: 10 },
            { kind: 'removed', name: '', packets: 1 },
          ],
        },
        {
          reason: 'unknown-vni',
          text: 'no network of this underlay has the VNI',
          packets: 7,
          where: [{ kind: 'underlay', name: 'wan', packets: 7 }],
        },
      ],
    });
  });
});

describe('neighbours', () => {
  it('stand in the order of their addresses, with the place where they were heard', () => {
    const view = makeView();
    const row = { network: 1, mac: '02:00:00:00:00:01', isRouter: null, isStatic: false, expiresInSec: 5 };
    view.dataplane.neighbours = () => [
      { ...row, address: 'fd00::2', port: 0, peer: 9, isRouter: false },
      { ...row, address: '10.0.0.10', port: 5, peer: 0 },
      { ...row, address: '10.0.0.9', port: 0, peer: 0, isStatic: true, expiresInSec: Number.POSITIVE_INFINITY },
    ];
    const shown = buildNeighbours(view);
    const learned = { network: 'blue', mac: row.mac, static: false, router: null, expiresInSec: 5 };
    expect(shown.map(({ port, peer }) => [port, peer !== null])).toEqual([
      [null, false],
      ['web', false],
      [null, true],
    ]);
    expect(shown[1]).toEqual({ ...learned, address: '10.0.0.10', port: 'web', peer: null });
    expect(shown[0]).toMatchObject({ address: '10.0.0.9', static: true, expiresInSec: null });
    expect(shown[2]).toMatchObject({ address: 'fd00::2', router: false });
  });
});

describe('a peer', () => {
  it('tells its age, failed sends and last error', () => {
    const view = makeView((first, second) => {
      first[at(PEER_ROW + 9, LAST_HEARD)] = 120;
      second[at(PEER_ROW + 9, LAST_HEARD)] = 127.5;
      first[at(PEER_ROW + 9, LAST_ERRNO)] = 113;
      first[at(PEER_ROW + 9, DROP_BASE + DROP['tx-error'])] = 2;
      first[at(PEER_ROW + 9, DROP_BASE + DROP['tx-too-big'])] = 1;
      first[at(PEER_ROW + 9, DROP_BASE + DROP['offload-leak'])] = 5;
    });
    expect(buildPeers(view)).toMatchObject([
      { lastHeardSec: 2.5, failedSends: 3, lastError: 'EHOSTUNREACH', dropped: 8 },
    ]);
    expect(buildPeers(makeView())).toMatchObject([{ lastHeardSec: null, failedSends: 0, lastError: null }]);
  });
});

describe('the status', () => {
  it('names what wants attention, with a remedy', () => {
    const status = buildStatus(
      makeView((first) => {
        first[at(PEER_ROW + 9, DROP_BASE + DROP['offload-leak'])] = 5;
        first[at(UNDERLAY_ROW + 1, MISSED)] = 6;
      }),
    );
    expect(status.node).toMatchObject({ uptimeSec: 30, generation: 3 });
    expect(status.slots).toEqual({ total: 20, free: 0, held: 20 });
    expect(status.hints.map((hint) => hint.object)).toEqual([
      'worker 0',
      'underlay wan',
      'arena',
      'peer blue 192.0.2.2',
      'underlay wan',
    ]);
    const leak = status.hints.find((hint) => hint.message.includes('offload-leak'));
    expect(leak!.message).toMatch(/^5 packets dropped/);
    expect(leak!.remedy).toContain('ethtool -K DEV tx off');
  });

  it('says when the device refuses to segment', () => {
    const [underlay] = buildStatus(makeView()).underlays;
    expect(underlay.path.send).toBe('frames');
    expect(underlay.path.reasons[0].reason).toContain('refused 2 segmented sends');
  });
});

describe('the counters', () => {
  it('balance with those of removed entities', () => {
    const view = makeView((first, second, retired) => {
      first[at(PORT_ROW + 5, RX_PACKETS)] = 10;
      second[at(UNDERLAY_ROW + 1, TX_PACKETS)] = 12;
      retired[at(PORT_ROW, RX_PACKETS)] = 2;
    });
    expect(buildStats(view).account).toMatchObject({ received: 12, sent: 12, held: 0 });
  });
});
