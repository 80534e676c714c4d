import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkValue, requireConfig } from '../../../../src/control/config/check.js';
import type { ConfigInput } from '../../../../src/control/config/config.js';
import { diffPlans, type HostFacts, makePlan } from '../../../../src/control/plan/plan.js';

const FACTS: HostFacts = {
  hostname: 'host-a',
  underlayMtu: new Map([['wan', 1500]]),
  underlayPrefixes: new Map([['wan', ['192.0.2.1/24']]]),
  users: new Map([['qemu', 107]]),
  groups: new Map([['kvm', 36]]),
};

type Network = ConfigInput['networks'][number];

function config(networks: Partial<Network>[], rest: Partial<ConfigInput> = {}) {
  const full = networks.map((n, i) => ({ name: `n${i}`, vni: i + 1, underlay: 'wan', ...n }));
  return requireConfig(checkValue({ underlays: [{ name: 'wan', address: '192.0.2.1' }], networks: full, ...rest }));
}

const plan = (...args: Parameters<typeof config>) => makePlan(config(...args), FACTS).plan;

describe('a plan', () => {
  it('says everything a worker needs, with defaults from the machine', () => {
    const made = plan([
      {
        peers: ['192.0.2.2', { address: '192.0.2.3', udpPort: 8472 }],
        staticMacs: [
          { mac: '02:00:00:00:00:AA', port: 'web' },
          { mac: '02:00:00:00:00:BB', peer: '192.0.2.3' },
        ],
        staticNeighbours: [{ address: '10.0.0.5', mac: '02:00:00:00:00:AA' }],
        ports: [{ name: 'web', type: 'tap', netns: 'blue', owner: 'qemu', group: 36, mac: '02:00:00:00:00:0A' }],
      },
    ]);
    expect(made).toEqual({
      generation: 1,
      node: 'host-a',
      workers: 1,
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
          sourcePortCount: 16,
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
          name: 'n0',
          mode: 'l2',
          tunnel: {
            kind: 'vxlan',
            id: 1,
            hasKey: false,
            udpPort: 4789,
            payload: 'ethernet',
            gpe: false,
            group: -1,
            options: [],
            match: [],
            relayOptions: 'pass',
            checksum: false,
            sequence: false,
          },
          domain: 1,
          vtepMac: null,
          underlays: [1],
          mtu: 1450,
          isMtuAuto: true,
          mtuMost: 1450,
          fragment: true,
          mssClamp: true,
          ageingSec: 300,
          macLimit: 8192,
          neighbourLimit: 8192,
          broadcastPps: 10000,
          acceptUnknownPeers: false,
        },
      ],
      ports: [
        {
          id: 1,
          name: 'web',
          network: 1,
          kind: 'tap',
          mtu: 1450,
          tap: {
            device: 'web',
            create: true,
            netns: '/run/netns/blue',
            addresses: [],
            mac: '02:00:00:00:00:0a',
            queues: 1,
            multiQueue: false,
            owner: 107,
            group: 36,
            hostRoutes: [],
            offloads: { vnetHeader: true, tso: true, uso: true, gsoMaxSize: true },
          },
          pcap: null,
        },
      ],
      peers: [
        {
          id: 1,
          network: 1,
          underlay: 1,
          address: '192.0.2.2',
          udpPort: 4789,
          mac: null,
          direct: false,
          dynamic: false,
          mtu: 1450,
        },
        {
          id: 2,
          network: 1,
          underlay: 1,
          address: '192.0.2.3',
          udpPort: 8472,
          mac: null,
          direct: false,
          dynamic: false,
          mtu: 1450,
        },
      ],
      statics: [
        { network: 1, mac: '02:00:00:00:00:aa', port: 1, peer: 0 },
        { network: 1, mac: '02:00:00:00:00:bb', port: 0, peer: 2 },
      ],
      staticNeighbours: [{ network: 1, address: '10.0.0.5', mac: '02:00:00:00:00:aa', isRouter: false }],
      routes: [],
    });
  });

  it('takes source ports, DSCP and offload leaks as words', () => {
    const underlays = [
      {
        name: 'wan',
        address: '192.0.2.1',
        sourcePorts: '50000-50007',
        dscp: 'inherit' as const,
        offloadLeak: 'deliver' as const,
      },
    ];
    expect(plan([{}], { underlays }).underlays[0]).toMatchObject({
      sourcePortFirst: 50000,
      sourcePortCount: 8,
      dscp: -1,
      deliverOffloadLeak: true,
    });
  });

  it('describes a frame underlay', () => {
    const frame = {
      type: 'memory' as const,
      mac: '02:00:00:00:00:0A',
      neighbours: { '192.0.2.2': '02:00:00:00:00:0B' },
    };
    const made = plan([{}], { underlays: [{ name: 'wan', kind: 'frame', address: '192.0.2.1', frame }] });
    expect(made.underlays[0].frame).toEqual({
      kind: 'memory',
      name: 'wan',
      input: null,
      output: null,
      mac: '02:00:00:00:00:0a',
      popDepth: 0,
      neighbours: { '192.0.2.2': '02:00:00:00:00:0b' },
    });
    expect(made.networks[0].mtu).toBe(1450);
  });

  it('gives a network without underlay the MTU of Ethernet', () => {
    const made = makePlan(requireConfig(checkValue({ networks: [{ name: 'l', vni: 1 }] })), FACTS).plan;
    expect(made.networks[0]).toMatchObject({ underlays: [], mtu: 1500 });
  });

  it.each([
    [1500, undefined, 1450],
    [9000, undefined, 8950],
    [65536, undefined, 65000],
    [1500, 1400, 1400],
    [1500, 1450, 1450],
  ])('device MTU %d, network %s -> %d', (device, mtu, expected) => {
    const facts = { ...FACTS, underlayMtu: new Map([['wan', device]]) };
    expect(makePlan(config([{ mtu }]), facts).plan.networks[0].mtu).toBe(expected);
  });

  it('refuses an MTU that the device cannot carry', () => {
    expect(() => plan([{ mtu: 1451 }])).toThrow(/MTU 1451 and 50 bytes .* whose MTU is 1500/);
    const tiny = { ...FACTS, underlayMtu: new Map([['wan', 100]]) };
    expect(() => makePlan(config([{}]), tiny)).toThrow(/leaves no room/);
  });

  const over = (device: number, pathMtu?: [string, number][]) => ({
    ...FACTS,
    underlayMtu: new Map([['wan', device]]),
    ...(pathMtu ? { pathMtu: new Map(pathMtu) } : {}),
  });

  it('follows its device with auto, and keeps a number that the device does not carry any more', () => {
    const first = makePlan(config([{}, { mtu: 1400 }]), over(1500));
    const second = makePlan(config([{}, { mtu: 1400 }]), over(1300), first);
    expect(first.plan.networks).toMatchObject([
      { mtu: 1450, isMtuAuto: true, mtuMost: 1450 },
      { mtu: 1400, isMtuAuto: false, mtuMost: 1450 },
    ]);
    expect(second.plan.networks).toMatchObject([
      { mtu: 1250, isMtuAuto: true, mtuMost: 1250 },
      { mtu: 1400, isMtuAuto: false, mtuMost: 1250 },
    ]);
    expect(() => makePlan(config([{}, { mtu: 1401 }]), over(1300), second)).toThrow(/MTU 1401/);
    expect(() => makePlan(config([{}, { mtu: 1400 }]), over(90), second)).toThrow(/leaves no room/);
  });

  it.each([
    // Headers: IPv4 20, UDP 8, VXLAN 8, Ethernet 14.
    ['198.18.0.2', 1500, 1400, 1350],
    ['198.18.0.2', 1500, 1600, 1450],
    ['198.18.0.2', 1500, 68, 526],
    ['198.18.0.2', 1300, 1400, 1250],
  ])('peer %s, device %d, path %d -> %d', (address, device, path, expected) => {
    const facts = over(device, [
      [`n0/${address}`, path],
      ['n1/198.18.0.3', 700],
    ]);
    const { peers } = makePlan(config([{ peers: [address, '198.18.0.3'] }]), facts).plan;
    expect(peers.map((peer) => peer.mtu)).toEqual([expected, device - 50]);
  });

  it('takes for a peer what the device carries where the network says more', () => {
    const first = makePlan(config([{ mtu: 1400, peers: ['198.18.0.2'] }]), over(1500));
    const second = makePlan(config([{ mtu: 1400, peers: ['198.18.0.2'] }]), over(1300), first);
    expect(second.plan.peers[0].mtu).toBe(1250);
  });

  it('refuses an unknown user', () => {
    expect(() => plan([{ ports: [{ name: 'p', type: 'tap', owner: 'nobody-here' }] }])).toThrow(
      /no user named "nobody-here"/,
    );
  });
});

describe('ids', () => {
  const ports = (...names: string[]) => [{ ports: names.map((name) => ({ name, type: 'memory' as const })) }];
  const idsOf = (entities: { id: number; name: string }[]) => Object.fromEntries(entities.map((e) => [e.name, e.id]));

  it('stay over changes and are not given again while others are left', () => {
    const first = makePlan(config(ports('a', 'b', 'c')), FACTS);
    const second = makePlan(config(ports('c', 'a')), FACTS, first);
    const third = makePlan(config(ports('d', 'c', 'a', 'b')), FACTS, second);
    expect(idsOf(first.plan.ports)).toEqual({ a: 1, b: 2, c: 3 });
    expect(idsOf(second.plan.ports)).toEqual({ c: 3, a: 1 });
    expect(idsOf(third.plan.ports)).toEqual({ d: 4, c: 3, a: 1, b: 5 });
    expect(third.plan.generation).toBe(3);
  });

  it('are given again when none is left', () => {
    let planned = makePlan(config(ports('p0')), FACTS);
    for (let i = 1; i < 1100; i++) planned = makePlan(config(ports(`p${i}`)), FACTS, planned);
    const { id } = planned.plan.ports[0];
    expect(id).toBeGreaterThan(0);
    expect(id).toBeLessThan(1024);
  });

  it('keep peers of two networks apart', () => {
    const made = plan([{ peers: ['192.0.2.2'] }, { peers: ['192.0.2.2'] }]);
    expect(made.peers.map((p) => [p.id, p.network])).toEqual([
      [1, 1],
      [2, 2],
    ]);
  });

  it('are unique and stable whatever changes', () => {
    const name = fc.constantFrom('a', 'b', 'c', 'd', 'e');
    fc.assert(
      fc.property(fc.array(fc.uniqueArray(name), { maxLength: 8 }), (steps) => {
        let planned = makePlan(config(ports()), FACTS);
        for (const names of steps) {
          const before = idsOf(planned.plan.ports);
          planned = makePlan(config(ports(...names)), FACTS, planned);
          const after = idsOf(planned.plan.ports);
          expect(new Set(Object.values(after)).size).toBe(names.length);
          for (const n of names) if (n in before) expect(after[n]).toBe(before[n]);
        }
      }),
    );
  });
});

describe('peers that traffic makes known', () => {
  it('join the plan beside the configured ones', () => {
    const made = makePlan(config([{ peers: ['192.0.2.2'], unknownPeers: 'accept' }]), FACTS, null, [
      { network: 'n0', address: '192.0.2.2' },
      { network: 'n0', address: '192.0.2.7' },
      { network: 'gone', address: '192.0.2.8' },
    ]).plan;
    expect(made.peers.map((p) => [p.address, p.udpPort, p.dynamic])).toEqual([
      ['192.0.2.2', 4789, false],
      ['192.0.2.7', 4789, true],
    ]);
  });
});

describe('the difference of two plans', () => {
  it('names what came and what went', () => {
    const first = makePlan(
      config([{ peers: ['192.0.2.2', '192.0.2.3'], ports: [{ name: 'a', type: 'memory' }] }]),
      FACTS,
    );
    const second = makePlan(
      config([{ peers: ['192.0.2.3', '192.0.2.4'], ports: [{ name: 'b', type: 'memory' }] }]),
      FACTS,
      first,
    );
    const diff = diffPlans(first.plan, second.plan);
    expect(diff.portsAdded.map((p) => p.name)).toEqual(['b']);
    expect(diff.portsRemoved.map((p) => p.name)).toEqual(['a']);
    expect(diff.peersAdded.map((p) => p.address)).toEqual(['192.0.2.4']);
    expect(diff.peersRemoved.map((p) => p.address)).toEqual(['192.0.2.2']);
  });
});
