// A live change of one network, seen from another one that is full of traffic; what a refused one leaves; what a service manager hears.
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { afterEach, expect, it } from 'vitest';
import { stringify } from 'yaml';
import type { ConfigInput } from '../../src/control/config/config.js';
import { makeHosts, UNDERLAY_A, UNDERLAY_B } from '../rig/hosts.js';
import { makeNamespace, removeNamespaces, runIn } from '../rig/namespaces.js';
import { expectQuiet, scratchFile, up, WEFT, writeConfig } from '../rig/node.js';
import { describeWith } from '../rig/requirements.js';
import { listenAsManager } from '../rig/serviceManager.js';
import { ping, sendSteady } from '../rig/traffic.js';
import { sleep, until } from '../rig/waiting.js';

type Network = ConfigInput['networks'][number];

const blue = (own: 1 | 2): Network => ({
  name: 'blue',
  vni: 42,
  underlay: 'veth',
  peers: [own === 1 ? UNDERLAY_B : UNDERLAY_A],
  ports: [{ type: 'tap', name: 'blue0', addresses: [`10.1.0.${own}/24`] }],
});
const green = (own: 1 | 2, rest: Partial<Network> = {}): Network => ({
  name: 'green',
  vni: 43,
  underlay: 'veth',
  peers: [own === 1 ? UNDERLAY_B : UNDERLAY_A],
  ports: [{ type: 'tap', name: 'green0', addresses: [`10.2.0.${own}/24`] }],
  ...rest,
});
const configOf = (own: 1 | 2, networks: Network[], rest: Partial<ConfigInput> = {}): ConfigInput => ({
  underlays: [{ name: 'veth', address: own === 1 ? UNDERLAY_A : UNDERLAY_B }],
  networks: [blue(own), ...networks],
  ...rest,
});

/** What may be done to the one network, or below both: none of it is to be seen in the other. */
const CHANGES: [what: string, networks: Network[], rest?: Partial<ConfigInput>][] = [
  ['MTU', [green(1, { mtu: 1300 })]],
  ['peers', [green(1, { peers: [UNDERLAY_B, '198.18.0.77'] })]],
  ['no peers', [green(1, { peers: [] })]],
  ['VNI', [green(1, { vni: 44 })]],
  ['addresses', [green(1, { ports: [{ type: 'tap', name: 'green0', addresses: ['10.2.0.1/24', '10.2.0.9/24'] }] })]],
  ['another nature of its device', [green(1, { ports: [{ type: 'tap', name: 'green0', owner: 65534 }] })]],
  ['static MACs', [green(1, { staticMacs: [{ mac: '02:00:00:00:00:09', peer: UNDERLAY_B }] })]],
  ['removal', []],
  ['encapsulation', [green(1, { encapsulation: 'geneve' })]],
  ['raw sockets', [green(1, { encapsulation: 'gre', vni: undefined, mode: 'l2' })]],
  [
    'a third network, and a bridge',
    [green(1), { name: 'red', vni: 45, underlay: 'veth' }],
    { bridge: ['green', 'red'] },
  ],
  // The sockets that the other network sends from are new then; the one that it receives from stays.
  ['DSCP of what carries both', [green(1)], { underlays: [{ name: 'veth', address: UNDERLAY_A, dscp: 10 }] }],
  ['as it was', [green(1)]],
];

describeWith(['root', 'tun', 'addon', 'ip', 'ping', 'python3'], 'a reload', () => {
  afterEach(removeNamespaces);

  it('of one network loses, repeats and reorders nothing of another', async () => {
    const { a, b } = makeHosts();
    const node = await up(a.namespace, configOf(1, [green(1)]));
    const other = await up(b.namespace, configOf(2, [green(2)]));
    expect([await ping(a.namespace, '10.1.0.2'), await ping(a.namespace, '10.2.0.2')]).toEqual([3, 3]);
    // Room for some seconds of the streams: a machine that is busy elsewhere for a while is no loss of weft's.
    for (const { namespace } of [a, b]) runIn(namespace, 'ip', 'link', 'set', 'blue0', 'txqueuelen', '10000');
    const streams = Promise.all([
      sendSteady(a.namespace, b.namespace, '10.1.0.2', 5, 1500),
      sendSteady(b.namespace, a.namespace, '10.1.0.1', 5, 1500),
    ]);
    await sleep(500);
    for (const [what, networks, rest] of CHANGES) {
      expect(await node.reload(configOf(1, networks, rest)), what).toMatch(/ reloaded: [1-9]/);
      await sleep(100);
    }
    expect(node.said).not.toMatch(/not reloaded|not closed cleanly|died/);
    for (const stream of await streams) expect(stream).toEqual({ sent: 7500, received: 7500, twice: 0, late: 0 });
    expect([await ping(a.namespace, '10.1.0.2'), await ping(a.namespace, '10.2.0.2')]).toEqual([3, 3]);
    await expectQuiet(node, other);
  });

  it('that fails, or is refused, leaves the node as it was', async () => {
    const { a, b } = makeHosts();
    const node = await up(a.namespace, configOf(1, [green(1)]));
    await up(b.namespace, configOf(2, [green(2)]));
    runIn(a.namespace, 'ip', 'link', 'add', 'taken', 'type', 'veth', 'peer', 'name', 'other');
    // Names, MACs and MTUs of devices and addresses of sockets, without what the kernel changes by itself: states, and bytes that wait.
    const links = () =>
      (JSON.parse(runIn(a.namespace, 'ip', '-j', 'link')) as { ifname: string; address: string; mtu: number }[]).map(
        ({ ifname, address, mtu }) => ({ ifname, address, mtu }),
      );
    const sockets = () =>
      runIn(a.namespace, 'ss', '-Hlun')
        .trim()
        .split('\n')
        .map((line) => line.split(/\s+/)[3]);
    const before = { links: links(), sockets: sockets(), status: await node.status() };
    const ports = [
      { type: 'tap' as const, name: 'first' },
      { type: 'tap' as const, name: 'taken' },
    ];
    const broken = configOf(1, [green(1, { mtu: 1300, peers: [] }), { name: 'red', ports }], {
      underlays: [{ name: 'veth', address: UNDERLAY_A, dscp: 10 }],
    });
    expect(await node.reload(broken)).toMatch(/not reloaded.*device taken exists already/);
    expect(await node.reload(configOf(1, [], { node: { workers: 2 } }))).toMatch(
      /not reloaded.*as a whole|not reloaded/,
    );
    expect(node.said).toContain('node.workers: 1 -> 2');
    writeFileSync(node.file, 'networks: [');
    const { status, stderr } = await node.weft('reload');
    expect([status, stderr]).toEqual([2, expect.stringContaining('not valid YAML')]);
    expect(links()).toEqual(before.links);
    expect(sockets()).toEqual(before.sockets);
    const { networks, underlays } = await node.status();
    expect({ networks, underlays }).toMatchObject({
      networks: before.status.networks.map(({ name, mtu, peers, ports }) => ({ name, mtu, peers, ports })),
      underlays: before.status.underlays.map(({ name, sourcePorts }) => ({ name, sourcePorts })),
    });
    expect([await ping(a.namespace, '10.1.0.2'), await ping(a.namespace, '10.2.0.2')]).toEqual([3, 3]);
  });

  it('is told to a service manager, like the start and the end', async () => {
    const namespace = makeNamespace('notify');
    const manager = await listenAsManager(scratchFile('notify.sock'));
    const config: ConfigInput = { node: { socket: scratchFile('n.sock') }, networks: [{ name: 'blue' }] };
    const file = writeConfig(config);
    const env = { ...process.env, NOTIFY_SOCKET: manager.socket, WATCHDOG_USEC: '400000' };
    const node = spawn('ip', ['netns', 'exec', namespace, process.execPath, WEFT, 'up', file], {
      env,
      stdio: 'ignore',
    });
    try {
      const said = (text: string) => manager.notices.filter((notice) => notice.startsWith(text)).length;
      await until('READY', () => said('READY=1') === 1, { withinMs: 45_000 });
      await until('the watchdog is fed', () => said('WATCHDOG=1') >= 3);
      writeFileSync(file, stringify({ ...config, networks: [{ name: 'blue' }, { name: 'green' }] }));
      node.kill('SIGHUP');
      await until('READY again', () => said('READY=1') === 2);
      node.kill('SIGTERM');
      await until('STOPPING', () => said('STOPPING=1') === 1);
      await until('its end', () => node.exitCode !== null);
      const story = manager.notices.filter((notice) => notice !== 'WATCHDOG=1');
      expect(story).toEqual([
        'READY=1\nSTATUS=1 network, 0 ports, 0 peers',
        expect.stringMatching(/^RELOADING=1\nMONOTONIC_USEC=\d+$/),
        'READY=1\nSTATUS=2 networks, 0 ports, 0 peers',
        'STOPPING=1',
      ]);
    } finally {
      node.kill('SIGKILL');
      await manager.close();
    }
  });
});
