import { describe, expect, it } from 'vitest';
import {
  ConfigError,
  checkText,
  checkValue,
  type Problem,
  requireConfig,
} from '../../../../src/control/config/check.js';
import { configJsonSchema } from '../../../../src/control/config/config.js';

const GOOD = `underlays:
  - name: wan
    address: 192.0.2.1
networks:
  - name: blue
    vni: 42
    underlay: wan
    peers: [192.0.2.2, {address: 192.0.2.3, udpPort: 8472}]
    staticMacs:
      - {mac: 02:00:00:00:00:09, port: web}
    ports:
      - name: web
        type: tap
        addresses: [10.0.0.1/24, fd00::1/64]
`;

interface SchemaNode {
  description?: string;
  properties?: Record<string, SchemaNode>;
  anyOf?: SchemaNode[];
  oneOf?: SchemaNode[];
  items?: SchemaNode;
}

const places = (problems: Problem[]) => problems.map((p) => `${p.line}:${p.column} ${p.path}`);

/** A good configuration with one line put in place of another. */
function withLine(from: string, to: string): Problem[] {
  expect(GOOD).toContain(from);
  return checkText(GOOD.replace(from, to)).problems;
}

describe('a good configuration', () => {
  it('gets every default', () => {
    const { config, problems } = checkText(GOOD);
    expect(problems).toEqual([]);
    expect(config!.node).toEqual({ workers: 1, pinning: 'none', busyPollUs: 50 });
    expect(config!.underlays[0]).toEqual({
      name: 'wan',
      kind: 'udp',
      address: '192.0.2.1',
      udpPort: 4789,
      checksum: true,
      sourcePorts: 16,
      dscp: 0,
      ttl: 64,
    });
    expect(config!.networks[0]).toMatchObject({
      ageing: 300,
      macLimit: 8192,
      broadcastLimit: 10000,
      unknownPeers: 'drop',
    });
    expect(config!.networks[0].ports[0]).toEqual({
      type: 'tap',
      name: 'web',
      create: true,
      addresses: ['10.0.0.1/24', 'fd00::1/64'],
    });
  });

  it('may be JSON', () => {
    const value = { networks: [{ name: 'local', vni: 1 }] };
    expect(checkText(JSON.stringify(value)).config).toEqual(checkValue(value).config);
    expect(checkValue(value).config).not.toBeNull();
  });
});

describe('the schema', () => {
  it.each<[string, string, string, RegExp, RegExp]>([
    ['vni: 42', 'vni: 0', '6:10 networks[0].vni', /must be at least 1/, /1 to 16777215/],
    ['vni: 42', 'vni: 16777216', '6:10 networks[0].vni', /must be at most 16777215/, /./],
    ['vni: 42', 'vni: "42"', '6:10 networks[0].vni', /expected a number|whole number/, /./],
    ['vni: 42', 'vni: 4.5', '6:10 networks[0].vni', /expected a whole number/, /./],
    ['vni: 42', 'vnj: 42', '6:5 networks[0].vnj', /unknown key `vnj`/, /did you mean `vni`/],
    ['vni: 42', 'vni:', '6:5 networks[0].vni', /has no value/, /./],
    ['address: 192.0.2.1', 'address: 2001:db8::1', '8:13 networks[0].peers[0]', /underlay "wan" has IPv6/, /IPv6/],
    [
      'address: 192.0.2.1',
      'address: 192.0.2.1/24',
      '3:14 underlays[0].address',
      /not an IP address/,
      /without a prefix/,
    ],
    ['address: 192.0.2.1', 'address: 239.1.1.1', '3:14 underlays[0].address', /multicast/, /unicast/],
    ['mac: 02:00:00:00:00:09', 'mac: 03:00:00:00:00:09', '10:15 networks[0].staticMacs[0].mac', /multicast/, /02:00/],
    ['mac: 02:00:00:00:00:09', 'mac: 0200.0000.0009', '10:15 networks[0].staticMacs[0].mac', /not a MAC/, /./],
    ['type: tap', 'type: veth', '13:15 networks[0].ports[0].type', /tap, tun, memory, pcap/, /./],
    ['- name: web', '- name: thisnameistoolong', '12:15 networks[0].ports[0].name', /17 bytes/, /device/],
    ['fd00::1/64', 'fd00::1', '14:34 networks[0].ports[0].addresses[1]', /no prefix length/, /fd00::1\/64/],
    ['10.0.0.1/24', '10.0.0.1/33', '14:21 networks[0].ports[0].addresses[0]', /0 to 32/, /./],
  ])('%s -> %s', (from, to, place, message, remedy) => {
    const problem = withLine(from, to).find((p) => places([p])[0] === place);
    expect(problem, JSON.stringify(withLine(from, to))).toBeDefined();
    expect(problem!.message).toMatch(message);
    expect(problem!.remedy).toMatch(remedy);
  });

  it('names a missing key at the map that lacks it', () => {
    const problems = checkText('networks:\n  - vni: 4\n').problems;
    expect(places(problems)).toEqual(['2:5 networks[0].name']);
    expect(problems[0].message).toBe('`name` is missing');
  });

  it('reports what is wrong inside a peer, not that no form fits', () => {
    const problems = withLine('{address: 192.0.2.3, udpPort: 8472}', '{address: 192.0.2.3, udpPort: 70000, weight: 1}');
    expect(problems.map((p) => p.path)).toEqual(['networks[0].peers[1].udpPort', 'networks[0].peers[1].weight']);
  });
});

describe('references', () => {
  it.each<[string, string, string, RegExp]>([
    ['underlay: wan', 'underlay: wam', 'networks[0].underlay', /no underlay "wam"/],
    ['underlay: wan', 'ageing: 30', 'networks[0]', /`peers` but no `underlay`/],
    ['192.0.2.2,', '192.0.2.1,', 'networks[0].peers[0]', /own address/],
    ['192.0.2.2,', '192.0.2.3,', 'networks[0].peers[1].address', /listed twice/],
    ['port: web', 'port: wob', 'networks[0].staticMacs[0].port', /no port "wob"/],
    ['port: web', 'peer: 192.0.2.9', 'networks[0].staticMacs[0].peer', /no peer "192.0.2.9"/],
    ['port: web', 'port: web, peer: 192.0.2.2', 'networks[0].staticMacs[0]', /either `port` or `peer`/],
    ['type: tap', 'type: tap\n        queues: 2', 'networks[0].ports[0].queues', /2 queues for 1 worker/],
    ['type: tap', 'type: tap\n        create: false\n        owner: 5', 'networks[0].ports[0].owner', /attached/],
    ['vni: 42', 'vni: 42\n    mtu: 1279', 'networks[0].ports[0].addresses[1]', /1280/],
    ['type: tap', 'type: pcap', 'networks[0].ports[0]', /`input`, `output` or both/],
    ['address: 192.0.2.1', 'address: 192.0.2.1\n    kind: frame', 'underlays[0]', /needs `frame`/],
    ['address: 192.0.2.1', 'address: 192.0.2.1\n    sourcePorts: 4780-4790', 'underlays[0].sourcePorts', /4789/],
    ['address: 192.0.2.1', 'address: 192.0.2.1\n    device: web', 'networks[0].ports[0].name', /underlay "wan"/],
  ])('%s -> %s', (from, to, path, message) => {
    const problem = withLine(from, to).find((p) => p.path === path);
    expect(problem, JSON.stringify(withLine(from, to))).toBeDefined();
    expect(problem!.message).toMatch(message);
  });

  it('finds what is used twice', () => {
    const twice = {
      underlays: [
        { name: 'a', address: '192.0.2.1' },
        { name: 'a', address: '192.0.2.1' },
      ],
      networks: [
        { name: 'n', vni: 7, underlay: 'a', ports: [{ name: 'p', type: 'tap', device: 'd0' }] },
        { name: 'n', vni: 7, underlay: 'a', ports: [{ name: 'p', type: 'tap', device: 'd0' }] },
      ],
    };
    const { problems } = checkValue(twice);
    expect(problems.map((p) => p.path)).toEqual([
      'underlays[1].name',
      'networks[1].name',
      'networks[1].ports[0].name',
      'underlays[1].address',
      'networks[1].vni',
      'networks[1].ports[0].device',
    ]);
    expect(problems.every((p) => p.line === null && p.column === null)).toBe(true);
  });

  it('lets equal devices, VNIs and names of different kinds be', () => {
    const value = {
      underlays: [
        { name: 'a', address: '192.0.2.1' },
        { name: 'b', address: '192.0.2.1', udpPort: 8472 },
      ],
      networks: [
        { name: 'a', vni: 7, underlay: 'a', ports: [{ name: 'p', type: 'tap', device: 'd0', netns: 'x' }] },
        { name: 'b', vni: 7, underlay: 'b', ports: [{ name: 'q', type: 'tap', device: 'd0', netns: '/run/netns/y' }] },
      ],
    };
    expect(checkValue(value).problems).toEqual([]);
  });
});

describe('all at once', () => {
  it('reports faults of every layer in the order of the file', () => {
    const text = GOOD.replace('vni: 42', 'vni: 0')
      .replace('underlay: wan', 'underlay: wam\n    colour: red')
      .replace('192.0.2.2,', '192.0.2.2, 192.0.2.2,');
    const problems = checkText(text).problems;
    expect(places(problems)).toEqual([
      '6:10 networks[0].vni',
      '7:15 networks[0].underlay',
      '8:5 networks[0].colour',
      '9:24 networks[0].peers[1]',
    ]);
  });

  it('throws them as one error', () => {
    const result = checkText('networks: 5\nnode: {x: 1}\n');
    expect(() => requireConfig(result, 'a.yaml')).toThrow(ConfigError);
    try {
      requireConfig(result, 'a.yaml');
    } catch (error) {
      expect((error as ConfigError).code).toBe('CONFIG');
      expect((error as ConfigError).problems).toHaveLength(2);
      expect((error as Error).message).toContain('a.yaml: 2 problems');
    }
  });
});

describe('text that is no configuration', () => {
  it.each([
    ['', /empty/],
    ['# only a comment\n', /empty/],
    ['networks: [', /not valid YAML/],
    ['a: 1\na: 2\n', /not valid YAML: Map keys must be unique/],
    ['just words', /configuration is "just words"/],
    ['- 1\n- 2\n', /a list/],
    ['networks:\n\t- name: x\n', /not valid YAML/],
    ['a: &a [x,x]\nb: &b [*a,*a]\nc: [*c]\n', /not valid YAML|not usable YAML/],
    ['--- \na: 1\n---\nb: 2\n', /not valid YAML/],
  ])('%j', (text, message) => {
    const { config, problems } = checkText(text);
    expect(config).toBeNull();
    expect(problems.length).toBeGreaterThan(0);
    expect(problems[0].message).toMatch(message);
    expect(problems[0].line).toBeGreaterThan(0);
  });

  it('refuses an alias bomb', () => {
    const level = (n: number) =>
      `l${n}: &l${n} [${Array(10)
        .fill(`*l${n - 1}`)
        .join(', ')}]`;
    const bomb = ['l0: &l0 [x, x]', ...Array.from({ length: 9 }, (_, i) => level(i + 1))].join('\n');
    expect(checkText(bomb).problems[0].message).toMatch(/not usable YAML/);
  });

  it('finds the place behind an alias', () => {
    const text = 'x: &p\n  name: p\n  type: tap\n  mtu: 1\nnetworks:\n  - {name: n, vni: 1, ports: [*p]}\n';
    expect(places(checkText(text).problems)).toContain('4:8 networks[0].ports[0].mtu');
  });
});

describe('the JSON Schema', () => {
  it('describes every key', () => {
    const undocumented: string[] = [];
    const visit = (node: SchemaNode, path: string) => {
      for (const [key, value] of Object.entries(node.properties ?? {})) {
        if (!value.description) undocumented.push(`${path}.${key}`);
        visit(value, `${path}.${key}`);
      }
      for (const branch of [...(node.anyOf ?? []), ...(node.oneOf ?? []), ...(node.items ? [node.items] : [])])
        visit(branch, path);
    };
    visit(configJsonSchema(), '');
    expect(undocumented).toEqual([]);
  });

  it('forbids unknown keys', () => {
    expect(configJsonSchema()).toMatchObject({ type: 'object', additionalProperties: false, required: ['networks'] });
  });
});
