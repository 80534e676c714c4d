/**
 * Configurations at random, for what holds for any two of them.
 */
import fc from 'fast-check';
import { checkValue } from '../../src/control/config/check.js';
import type { Config } from '../../src/control/config/config.js';

const underlay = fc.record(
  {
    name: fc.constantFrom('wan', 'lan'),
    address: fc.constantFrom('192.0.2.1', '198.51.100.1'),
    udpPort: fc.constantFrom(4789, 8472),
    sourcePorts: fc.constantFrom<(number | string)[]>(2, 3, '50000-50001', '50001-50003'),
    dscp: fc.constantFrom(0, 10),
    checksum: fc.boolean(),
    offloadLeak: fc.constantFrom('drop', 'deliver'),
  },
  { requiredKeys: ['name', 'address', 'udpPort'] },
);
const port = fc.record(
  {
    name: fc.constantFrom('a', 'b', 'c'),
    type: fc.constantFrom('tap', 'memory'),
    device: fc.constantFrom('dev0', 'dev1', 'dev2'),
    netns: fc.constantFrom('x', 'y'),
    addresses: fc.uniqueArray(fc.constantFrom('10.0.0.1/24', '10.0.0.2/24', '10.0.1.1/24'), { maxLength: 2 }),
    mtu: fc.constantFrom(1300, 1400),
    owner: fc.constantFrom(0, 1000),
  },
  { requiredKeys: ['name', 'type'] },
);
const network = fc.record(
  {
    name: fc.constantFrom('blue', 'green', 'red'),
    vni: fc.constantFrom(1, 2, 3, 4),
    underlay: fc.constantFrom('wan', 'lan'),
    encapsulation: fc.constantFrom('vxlan', 'geneve'),
    mtu: fc.constantFrom(1280, 1350),
    ageing: fc.constantFrom(100, 300),
    peers: fc.uniqueArray(fc.constantFrom('192.0.2.2', '192.0.2.3', '198.51.100.9'), { maxLength: 3 }),
    staticMacs: fc.constantFrom<object[]>([], [{ mac: '02:00:00:00:00:05', peer: '192.0.2.2' }]),
    ports: fc.array(port, { maxLength: 2 }),
  },
  { requiredKeys: ['name'] },
);
/** A good configuration: underlays, networks, bridges, devices of few names, so that two of them clash and share a lot. */
export const config: fc.Arbitrary<Config> = fc
  .record({
    underlays: fc.uniqueArray(underlay, { maxLength: 2, selector: (u) => u.name }),
    networks: fc.uniqueArray(network, { minLength: 1, maxLength: 3, selector: (n) => n.name }),
    bridge: fc.constantFrom<string[][]>([], [], ['blue', 'green'] as never),
  })
  .map((value) => ({
    ...value,
    node: { name: 'n' },
    underlays: value.underlays.map(withOwnPorts),
    networks: value.networks.map(withoutMemorySettings),
  }))
  .map((value) => checkValue(value).config)
  .filter((value): value is Config => value !== null);

/** Two underlays of one address cannot send from the same ports. */
function withOwnPorts<T extends { name: string; sourcePorts?: number | string }>(u: T): T {
  const isRange = u.name === 'lan' && typeof u.sourcePorts === 'string';
  return isRange ? { ...u, sourcePorts: String(u.sourcePorts).replaceAll('500', '510') } : u;
}

/** Most of what a memory port was given belongs to devices. */
function withoutMemorySettings({ ports, ...rest }: { ports?: { type: string; name: string; mtu?: number }[] }) {
  const fitting = ports?.map((p) => (p.type === 'tap' ? p : { type: p.type, name: p.name }));
  return { ...rest, ...(fitting ? { ports: fitting } : {}) };
}
