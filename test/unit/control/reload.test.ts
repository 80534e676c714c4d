import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { checkValue } from '../../../src/control/config/check.js';
import type { ConfigInput } from '../../../src/control/config/config.js';
import { createNode, type Node } from '../../../src/control/node.js';
import { type HostFacts, makePlan } from '../../../src/control/plan/plan.js';
import { changesOf, RestartError, restartsOf } from '../../../src/control/reload.js';
import { WeftError } from '../../../src/packet/error.js';
import type { Plan } from '../../../src/pipeline/plan.js';
import { config } from '../../rig/configs.js';
import { type FakeDataplane, type FakeKernel, fakeDataplane, fakeKernel } from './fakes.js';

const needsRoot = it.skipIf(process.geteuid?.() !== 0);

const FACTS: HostFacts = {
  hostname: 'n',
  underlayMtu: new Map([
    ['wan', 1500],
    ['lan', 1500],
  ]),
  underlayPrefixes: new Map(),
  users: new Map(),
  groups: new Map(),
};

/** A plan with names in the place of ids, in order: what it does and not how it is numbered. */
function named(plan: Plan): unknown {
  const networks = new Map(plan.networks.map(({ id, name }) => [id, name]));
  const carriers = new Map(plan.underlays.map(({ id, name }) => [id, name]));
  const ports = new Map(plan.ports.map(({ id, name }) => [id, name]));
  const peers = new Map(plan.peers.map((p) => [p.id, `${networks.get(p.network)} ${p.address}`]));
  const domainOf = (id: number) => plan.networks.filter((n) => n.domain === id).map((n) => n.name);
  return {
    ...plan,
    generation: 0,
    underlays: plan.underlays.map((u) => ({ ...u, id: 0 })),
    networks: plan.networks.map((n) => {
      return { ...n, id: 0, domain: domainOf(n.domain), underlays: n.underlays.map((id) => carriers.get(id)) };
    }),
    ports: plan.ports.map((p) => ({ ...p, id: 0, network: networks.get(p.network) })),
    peers: plan.peers.map((p) => {
      return { ...p, id: 0, network: networks.get(p.network), underlay: carriers.get(p.underlay) };
    }),
    statics: plan.statics.map((s) => {
      return { ...s, network: domainOf(s.network), port: ports.get(s.port), peer: peers.get(s.peer) };
    }),
    routes: plan.routes.map((r) => {
      return { ...r, network: domainOf(r.network), port: ports.get(r.port), peer: peers.get(r.peer) };
    }),
  };
}

describe('the plan after a reload', () => {
  it('is that of a start, but for the ids', () => {
    fc.assert(
      fc.property(config, config, (a, b) => {
        expect(named(makePlan(b, FACTS, makePlan(a, FACTS)).plan)).toEqual(named(makePlan(b, FACTS).plan));
      }),
      { numRuns: 60 },
    );
  });

  it('keeps the ids of what stays', () => {
    fc.assert(
      fc.property(config, config, (a, b) => {
        const before = makePlan(a, FACTS).plan;
        const after = makePlan(b, FACTS, makePlan(a, FACTS)).plan;
        for (const kind of ['underlays', 'networks', 'ports'] as const)
          for (const { name, id } of before[kind]) {
            const now = after[kind].find((entity) => entity.name === name);
            if (now) expect(now.id).toBe(id);
            else expect(after[kind].map((entity) => entity.id)).not.toContain(id);
          }
      }),
      { numRuns: 60 },
    );
  });
});

const BASE = {
  node: { name: 'n' },
  underlays: [{ name: 'wan', address: '192.0.2.1' }],
  networks: [
    { name: 'blue', vni: 42, underlay: 'wan', peers: ['192.0.2.2'], ports: [{ name: 'web', type: 'tap' as const }] },
    { name: 'green', vni: 43, underlay: 'wan', peers: ['192.0.2.2'] },
  ],
};
const checked = (value: object) => checkValue(value).config!;

describe('the changes between two configurations', () => {
  it('are none when they say the same', () => {
    fc.assert(
      fc.property(config, (a) => {
        expect(changesOf(a, checked(a))).toEqual([]);
      }),
      { numRuns: 60 },
    );
    const written = {
      ...BASE,
      networks: [
        {
          ...BASE.networks[0],
          peers: [{ address: '192.0.2.2' }],
          mode: undefined,
          ports: [{ type: 'tap', name: 'web' }],
        },
        BASE.networks[1],
      ],
    };
    expect(changesOf(checked(BASE), checked(written))).toEqual([]);
  });

  it('name each part with what it was and is', () => {
    const after = {
      ...BASE,
      underlays: [{ ...BASE.underlays[0], dscp: 10 }],
      networks: [
        {
          ...BASE.networks[0],
          mtu: 1400,
          peers: [{ address: '192.0.2.2', udpPort: 4790 }, '192.0.2.3'],
          staticMacs: [{ mac: '02:00:00:00:00:0A', port: 'web' }],
          ports: [{ name: 'web', type: 'tap', addresses: ['10.0.0.1/24'] }],
        },
        { name: 'red', ports: [{ name: 'm', type: 'memory' }] },
      ],
    };
    const text = changesOf(checked(BASE), checked(after)).map(({ action, kind, name, network, settings }) =>
      [
        action,
        kind,
        name,
        network,
        ...settings.map((s) => `${s.name} ${JSON.stringify(s.from)} ${JSON.stringify(s.to)}`),
      ].join(' '),
    );
    expect(text).toEqual([
      'changed underlay wan  dscp 0 10',
      'changed network blue  mtu "auto" 1400',
      'changed port web blue addresses [] ["10.0.0.1/24"]',
      'changed peer 192.0.2.2 blue udpPort null 4790',
      'added peer 192.0.2.3 blue',
      'added static MAC 02:00:00:00:00:0a blue',
      'added network red ',
      'added port m red',
      'removed network green ',
      'removed peer 192.0.2.2 green',
    ]);
  });

  it('of the node itself need a restart, but for how long it polls', () => {
    const restarts = (node: object) =>
      restartsOf(checked(BASE), checked({ ...BASE, node: { name: 'n', ...node } }), 'host').map((r) => r.setting);
    expect(restarts({ busyPollUs: 7 })).toEqual([]);
    expect(restarts({ arena: { smallSlots: 256 }, socket: '/run/weft/n.sock' })).toEqual([]);
    expect(restarts({ dpdk: {} })).toEqual([]);
    expect(restarts({ dpdk: { memoryMb: 64 } })).toEqual(['node.dpdk']);
    expect(restarts({ workers: 2, name: 'm', arena: { largeSlots: 80 } }).sort()).toEqual(['node.arena', 'node.name']);
  });
});

describe('a reload of a node', () => {
  const nodes: Node[] = [];
  afterEach(async () => {
    for (const node of nodes.splice(0)) await node.stop();
  });

  async function started(value: object, kernel: FakeKernel = machine(), plane: FakeDataplane = fakeDataplane()) {
    const parts = { kernel: () => kernel, dataplane: () => plane, now: () => 1 };
    const node = createNode(value as ConfigInput, { control: false }, parts);
    nodes.push(node);
    await node.start();
    return { node, kernel, plane };
  }

  function machine(): FakeKernel {
    const kernel = fakeKernel();
    kernel.own = ['192.0.2.1', '198.51.100.1'];
    return kernel;
  }

  /** What the kernel has, without numbers that it chose. */
  function stateOf(kernel: FakeKernel) {
    const { open, links, addresses, routes } = kernel;
    return {
      open: [...open.values()].map((what) => what.replace(/^udp 40\d\d\d/, 'udp chosen')).sort(),
      links: Object.fromEntries([...links].sort().map(([at, link]) => [at, { ...link, index: 0 }])),
      addresses: [...addresses]
        .map(([at, set]) => `${at} ${[...set].sort()}`)
        .filter((line) => !line.endsWith(' '))
        .sort(),
      routes: [...routes].sort(),
    };
  }

  needsRoot('leaves the machine as a start with the new configuration does', async () => {
    await fc.assert(
      fc.asyncProperty(config, config, async (a, b) => {
        const reloaded = await started(a);
        await reloaded.node.reload(b);
        const fresh = await started(b);
        expect(stateOf(reloaded.kernel)).toEqual(stateOf(fresh.kernel));
        const { plans, devices } = reloaded.plane;
        expect(named(plans.at(-1)!)).toEqual(named(fresh.plane.plans.at(-1)!));
        for (const { rxFds, txFds } of devices[0].underlays)
          for (const fd of [...rxFds, ...txFds]) expect(reloaded.kernel.open.has(fd)).toBe(true);
        for (const { rxFd } of devices[0].ports) expect(reloaded.kernel.open.has(rxFd)).toBe(true);
        expect(reloaded.node.config).toEqual(b);
        for (const node of nodes.splice(0)) await node.stop();
        expect(stateOf(reloaded.kernel)).toEqual(stateOf(machine()));
      }),
      { numRuns: 60 },
    );
  });

  needsRoot('that fails at any call leaves the machine, the plan and the configuration as they were', async () => {
    await fc.assert(
      fc.asyncProperty(config, config, fc.nat(30), async (a, b, calls) => {
        const { node, kernel, plane } = await started(a);
        const before = { state: stateOf(kernel), plan: named(plane.plans.at(-1)!), config: node.config };
        kernel.failAfter = calls;
        const failed = await node.reload(b).then(
          () => false,
          () => true,
        );
        kernel.failAfter = Number.POSITIVE_INFINITY;
        if (failed) {
          expect(stateOf(kernel)).toEqual(before.state);
          expect(named(plane.plans.at(-1)!)).toEqual(before.plan);
          expect(node.config).toEqual(before.config);
        }
        await nodes.pop()!.stop();
      }),
      { numRuns: 60 },
    );
  });

  needsRoot('that a worker refuses leaves all as it was', async () => {
    await fc.assert(
      fc.asyncProperty(config, config, async (a, b) => {
        const { node, kernel, plane } = await started(a);
        const before = { state: stateOf(kernel), plan: named(plane.plans.at(-1)!) };
        plane.failApply = new WeftError('WORKER', 'worker 0 refused the change');
        await expect(node.reload(b)).rejects.toThrow(/refused/);
        expect(stateOf(kernel)).toEqual(before.state);
        expect(named(plane.plans.at(-1)!)).toEqual(before.plan);
        const { rxFds, txFds } = plane.devices[0].underlays[0] ?? { rxFds: [], txFds: [] };
        for (const fd of [...rxFds, ...txFds]) expect(kernel.open.has(fd)).toBe(true);
        await nodes.pop()!.stop();
      }),
      { numRuns: 50 },
    );
  });

  needsRoot('does not touch what stays', async () => {
    const { node, kernel } = await started(BASE);
    kernel.calls.length = 0;
    const document = await node.reload({
      ...BASE,
      networks: [BASE.networks[0], { ...BASE.networks[1], mtu: 1300, peers: [] }],
    });
    expect(kernel.calls).toEqual([]);
    expect(document).toEqual({
      applied: true,
      generation: 2,
      changes: [
        {
          action: 'changed',
          kind: 'network',
          name: 'green',
          network: null,
          settings: [{ name: 'mtu', from: 'auto', to: 1300 }],
          effect: null,
        },
        { action: 'removed', kind: 'peer', name: '192.0.2.2', network: 'green', settings: [], effect: null },
      ],
      restart: [],
    });
  });

  needsRoot('sets MTU and addresses of a device while it stands', async () => {
    const { node, kernel, plane } = await started(BASE);
    const fd = plane.devices[0].ports[0].rxFd;
    kernel.calls.length = 0;
    const web = { name: 'web', type: 'tap' as const, addresses: ['10.0.0.1/24'], mtu: 1300 };
    const { changes } = await node.reload({
      ...BASE,
      networks: [{ ...BASE.networks[0], ports: [web] }, BASE.networks[1]],
    });
    expect(kernel.calls).toEqual([
      'linkSet /web {"mtu":1300}',
      // 47 segments of 1248 bytes and 66 of headers: 65,000 / (1300 + 22) = 49 segments would be 61,152 + 66.
      `linkSet /web {"gsoMaxSize":${49 * 1248 + 66}}`,
      'addressAdd /web 10.0.0.1/24',
    ]);
    expect(plane.devices[0].ports[0].rxFd).toBe(fd);
    expect(changes[0].effect).toBe(null);
  });

  needsRoot('makes a device anew whose nature changed, and says so', async () => {
    const { node, kernel, plane } = await started(BASE);
    kernel.calls.length = 0;
    const web = { name: 'web', type: 'tap' as const, owner: 1000 };
    const { changes } = await node.reload({
      ...BASE,
      networks: [{ ...BASE.networks[0], ports: [web] }, BASE.networks[1]],
    });
    expect(kernel.calls.filter((call) => call.startsWith('openTap'))).toEqual(['openTap /web']);
    expect(changes).toMatchObject([{ kind: 'port', name: 'web', effect: 'recreated' }]);
    // The port stays the same one: its counters go on.
    expect(plane.plans.at(-1)!.ports.map(({ id, name }) => `${id} ${name}`)).toEqual(['1 web']);
    expect(plane.flushed).toEqual([{ port: 1 }]);
  });

  needsRoot('keeps the receiving socket and the source ports of a carrier whose DSCP changes', async () => {
    const { node, plane } = await started(BASE);
    const [{ rxFds, txFds }] = plane.devices[0].underlays;
    const { sourcePorts } = node.status().underlays[0];
    const { changes } = await node.reload({ ...BASE, underlays: [{ ...BASE.underlays[0], dscp: 10 }] });
    expect(changes).toMatchObject([{ kind: 'underlay', name: 'wan', effect: 'reopened' }]);
    expect(plane.devices[0].underlays[0].rxFds).toEqual(rxFds);
    expect(plane.devices[0].underlays[0].txFds).not.toEqual(txFds);
    expect(node.status().underlays[0].sourcePorts).toEqual(sourcePorts);
  });

  needsRoot('is refused as a whole when a part needs a restart', async () => {
    const { node, kernel, plane } = await started(BASE);
    kernel.calls.length = 0;
    const seen: string[] = [];
    node.on('reloading', () => seen.push('reloading'));
    node.on('reload-failed', (error) => seen.push((error as WeftError).code));
    const wanted = { ...BASE, node: { name: 'n', workers: 2 }, networks: [BASE.networks[0]] };
    const error = await node.reload(wanted).catch((e) => e);
    expect(error).toBeInstanceOf(RestartError);
    expect(error).toMatchObject({ code: 'RESTART', restart: [{ setting: 'node.workers', from: 1, to: 2 }] });
    expect(error.message).toContain('node.workers: 1 -> 2');
    expect(seen).toEqual(['reloading', 'RESTART']);
    expect(kernel.calls).toEqual([]);
    expect(plane.plans).toHaveLength(1);
    const { applied, restart, changes } = await node.reload(wanted, { dryRun: true });
    expect({ applied, restart: restart.map((r) => r.setting) }).toEqual({ applied: false, restart: ['node.workers'] });
    expect(changes.map((c) => `${c.action} ${c.name}`)).toEqual(['changed node', 'removed green', 'removed 192.0.2.2']);
    expect(plane.plans).toHaveLength(1);
  });

  needsRoot('that is only asked about changes nothing', async () => {
    const { node, kernel, plane } = await started(BASE);
    kernel.calls.length = 0;
    const document = await node.reload({ ...BASE, networks: [BASE.networks[0]] }, { dryRun: true });
    expect(document).toMatchObject({ applied: false, generation: 1 });
    expect(kernel.calls).toEqual([]);
    expect(plane.plans).toHaveLength(1);
    await expect(node.reload()).rejects.toMatchObject({ code: 'USAGE' });
    await expect(node.reload({ networks: [] })).rejects.toMatchObject({ code: 'CONFIG' });
  });

  needsRoot('forgets MACs of networks that are joined or parted', async () => {
    const ports = (name: string) => [{ name, type: 'memory' as const }];
    const two = [
      { name: 'blue', ports: ports('a') },
      { name: 'green', ports: ports('b') },
    ];
    const { node, plane } = await started({ node: { name: 'n' }, networks: two });
    await node.reload({ node: { name: 'n' }, networks: two, bridge: ['blue', 'green'] });
    expect(plane.flushed).toEqual([{ port: 2 }]);
    await node.reload({ node: { name: 'n' }, networks: two });
    expect(plane.flushed).toEqual([{ port: 2 }, { port: 2 }]);
  });

  needsRoot('one part at a time: networks and static MACs', async () => {
    const { node, plane } = await started(BASE);
    const added = await node.addNetwork({ name: 'red', vni: 9, underlay: 'wan', peers: ['192.0.2.2'] });
    expect(added).toMatchObject({ name: 'red', id: 9, peers: 1 });
    const mac = await node.addStaticMac('red', { mac: '02:00:00:00:00:0B', peer: '192.0.2.2' });
    expect(mac).toMatchObject({ network: 'red', mac: '02:00:00:00:00:0b', peer: '192.0.2.2', static: true });
    expect(plane.plans.at(-1)!.statics).toEqual([{ network: 3, mac: '02:00:00:00:00:0b', port: 0, peer: 3 }]);
    await node.removeStaticMac('red', '02:00:00:00:00:0B');
    expect(plane.plans.at(-1)!.statics).toEqual([]);
    await node.removeNetwork('red');
    expect(node.config.networks.map((n) => n.name)).toEqual(['blue', 'green']);
    await expect(node.removeNetwork('red')).rejects.toMatchObject({ code: 'USAGE', object: 'network red' });
    await expect(node.addNetwork({ name: 'blue' })).rejects.toMatchObject({ code: 'CONFIG' });
    await expect(node.addStaticMac('blue', { mac: '02:00:00:00:00:01' })).rejects.toMatchObject({ code: 'CONFIG' });
    await expect(node.removeStaticMac('blue', '02:00:00:00:00:01')).rejects.toMatchObject({ code: 'USAGE' });
  });
});
