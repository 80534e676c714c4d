// What a user gets wrong: the exit code, and a message that names the object, what the kernel said, and the remedy.
import { existsSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { ConfigInput } from '../../src/control/config/config.js';
import { addKernelVxlan, type Hosts, makeHosts, UNDERLAY_A, UNDERLAY_B } from '../rig/hosts.js';
import { removeNamespaces, runIn } from '../rig/namespaces.js';
import { failUp, scratchFile, up, type WeftNode, weft } from '../rig/node.js';
import { describeWith } from '../rig/requirements.js';

type Port = NonNullable<ConfigInput['networks'][number]['ports']>[number];
type Underlay = NonNullable<ConfigInput['underlays']>[number];

function config(port: Partial<Port>, underlay: Partial<Underlay> = {}): ConfigInput {
  return {
    node: { socket: scratchFile('bad.sock') },
    underlays: [{ name: 'veth', address: UNDERLAY_A, udpPort: 6000, ...underlay }],
    networks: [
      {
        name: 'blue',
        vni: 42,
        underlay: 'veth',
        peers: [UNDERLAY_B],
        ports: [{ name: 'fresh', type: 'tap' }, { name: 'web', type: 'tap', ...port } as Port],
      },
    ],
  };
}

describeWith(['root', 'tun', 'addon', 'ip', 'vxlan'], 'weft up', () => {
  let hosts: Hosts;
  let a: string;
  let node: WeftNode;

  beforeAll(async () => {
    hosts = makeHosts();
    a = hosts.a.namespace;
    addKernelVxlan({ host: hosts.a, local: UNDERLAY_A, remote: UNDERLAY_B, addresses: [] });
    const standing = config({ device: 'taken0' }, { sourcePorts: '6100-6103' });
    standing.networks[0].ports?.shift();
    node = await up(a, standing);
  });
  afterAll(removeNamespaces);

  /** Port and underlay settings, and what the message must name: object, cause, remedy. */
  const wrong: [string, Partial<Port>, Partial<Underlay>, RegExp[]][] = [
    [
      'a device that is not there',
      { create: false, device: 'gone0' },
      { udpPort: 6001 },
      [/port web: device gone0 does not exist/, /: E(NODEV|NOENT|INVAL)\)/, /ip tuntap add dev gone0|create: true/],
    ],
    [
      'a device that is no TAP',
      { device: 'va' },
      { udpPort: 6001 },
      [/port web: device va /, /: E(EXIST|INVAL|BUSY)\)/, /ip link delete va|ip -d link show dev va/],
    ],
    [
      'a device that another node has',
      { device: 'taken0' },
      { udpPort: 6001 },
      [/port web: device taken0 /, /: E(EXIST|BUSY)\)/, /choose another `device`/],
    ],
    [
      'a namespace that is not there',
      { netns: 'wt-nowhere' },
      { udpPort: 6001 },
      [/port web: network namespace \/run\/netns\/wt-nowhere does not exist/, /ENOENT/, /ip netns add wt-nowhere/],
    ],
    [
      'an address that is not on this host',
      {},
      { address: '198.18.0.99' },
      [/underlay veth: address 198\.18\.0\.99 is not on this host/, /bind: EADDRNOTAVAIL/, /198\.18\.0\.1 \(va\)/],
    ],
    [
      'an underlay device that is not there',
      {},
      { device: 'gone0', udpPort: 6001 },
      [/underlay veth: device gone0 does not exist/, /: ENODEV\)/, /ip link/],
    ],
    [
      "a UDP port that the kernel's VXLAN has",
      {},
      { udpPort: 4789 },
      [/underlay veth: UDP port 4789 of 198\.18\.0\.1 is busy/, /bind: EADDRINUSE/, /ss -lunp|another `udpPort`/],
    ],
    [
      'a UDP port that another node has',
      {},
      { udpPort: 6000 },
      [/underlay veth: UDP port 6000 of 198\.18\.0\.1 is busy/, /bind: EADDRINUSE/, /another `udpPort`/],
    ],
    [
      'source ports that another node has',
      {},
      { udpPort: 6001, sourcePorts: '6102-6109' },
      [/underlay veth: UDP port 6102 of 198\.18\.0\.1 is busy/, /bind: EADDRINUSE/, /another `sourcePorts`/],
    ],
    [
      'an MTU that the underlay cannot carry',
      {},
      { udpPort: 6001 },
      [/network blue: MTU 1451 /, /whose MTU is 1500/, /1450 or less/],
    ],
  ];

  it.each(wrong)('refuses %s with status 2 and undoes what it did', async (what, port, underlay, texts) => {
    const wanted = config(port, underlay);
    if (what.startsWith('an MTU')) wanted.networks[0].mtu = 1451;
    const { status, stderr } = await failUp(a, wanted);
    expect(status, stderr).toBe(2);
    for (const text of texts) expect(stderr).toMatch(text);
    // No stack traces for users, and nothing half done.
    expect(stderr).not.toMatch(/\n {4}at /);
    expect(runIn(a, 'ip', '-o', 'link')).not.toMatch(/fresh|web/);
    expect(existsSync(wanted.node?.socket as string)).toBe(false);
    expect((await node.status()).node.state).toBe('running');
  });
});

it('weft up and check tell all faults of a file at once, with status 2', async () => {
  const file = scratchFile('bad.yaml');
  writeFileSync(
    file,
    `underlays:
  - name: veth
    address: 198.18.0.300
networks:
  - name: blue
    vni: 0
    underlay: vet
    peer: [198.18.0.2]
    ports:
      - {name: web, type: tap, mac: "01:00:00:00:00:01"}
`,
  );
  for (const verb of ['check', 'up']) {
    const { status, stderr, stdout } = await weft(verb, file);
    expect(status).toBe(2);
    const text = stderr + stdout;
    for (const line of [3, 6, 7, 8, 10]) expect(text).toMatch(new RegExp(`\\b${line}\\b`));
    for (const path of ['address', 'vni', 'underlay', 'peer', 'mac']) expect(text).toContain(path);
  }
  const { status, stderr } = await weft('up', '/nowhere/node.yaml');
  expect([status, /\/nowhere\/node\.yaml/.test(stderr)]).toEqual([2, true]);
});

// Without root nobody may look for sockets in /run/weft.
describeWith(['root'], 'a verb that asks a node', () => {
  it.each([
    [['status', '--socket', '/nowhere/node.sock']],
    [['mac', '--node', 'wt-nobody', '--json']],
    [['drops', '--node', 'wt-nobody']],
    [['capture', '--node', 'wt-nobody', '--on', 'web', '/dev/null']],
    [['peer', 'add', 'blue', '198.18.0.2', '--node', 'wt-nobody']],
  ])('%j finds no node: status 3', async (args) => {
    const { status, stdout, stderr } = await weft(...args);
    expect([status, stdout]).toEqual([3, '']);
    expect(stderr).toMatch(/^weft: .*(node\.sock|wt-nobody)/);
    expect(stderr).toMatch(/weft up/);
  });
});

it.each([
  [[]],
  [['dance']],
  [['up']],
  [['up', 'a.yaml', 'b.yaml']],
  [['status', '--jsno']],
  [['capture', '/tmp/x.pcapng']],
  [['lab', '--duration', 'long']],
  [['port', 'add', 'blue']],
])('%j is wrong usage: status 1', async (args) => {
  const { status, stderr, stdout } = await weft(...args);
  expect(status).toBe(1);
  expect(stderr + stdout).toMatch(/usage|error/i);
});

it('weft --help and --version: status 0', async () => {
  expect(await weft('--help')).toMatchObject({ status: 0, stderr: '' });
  expect(await weft('--version')).toMatchObject({ status: 0, stderr: '' });
});
