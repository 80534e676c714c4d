// What two ports of one node cannot both have in DPDK.
import { expect, it } from 'vitest';
import { faultsOf } from '../faultsOf.js';

const vhost = (name: string, path: string, more: object = {}) => ({ name, type: 'vhost-user', path, ...more });
const device = (name: string, devargs: string) => ({ name, type: 'dpdk', devargs });
const FRAME = { underlay: { kind: 'frame', frame: { type: 'dpdk', devargs: 'net_null0', mac: '02:00:00:00:00:01' } } };

it('takes sockets and devices that differ', () => {
  const ports = [
    vhost('a', '/run/a'),
    vhost('b', '/run/b'),
    device('c', 'net_null1'),
    device('d', 'net_null2,no-rx=1'),
  ];
  expect(faultsOf({ vni: 7, ports }, FRAME)).toEqual([]);
});

it.each([
  ['one path', '/run/a', {}],
  ['one path, written in another way', '/run//x/../a', {}],
  ['both ends of one socket', '/run/a', { mode: 'client' }],
])('refuses %s', (_what, path, more) => {
  expect(faultsOf({ vni: 7, ports: [vhost('a', '/run/a'), vhost('b', path, more)] })).toEqual([
    'networks[0].ports[1].path: socket "/run/a" is already used by port "a" (give each port a path of its own)',
  ]);
});

it('refuses one name for two devices, also of an underlay', () => {
  const [first, second] = faultsOf(
    { vni: 7, ports: [device('a', 'net_null0,no-rx=1'), device('b', 'net_null0')] },
    FRAME,
  );
  expect(first).toMatch(
    /^networks\[0\]\.ports\[0\]\.devargs: device "net_null0" of DPDK is already used by underlay "lan"/,
  );
  expect(second).toMatch(/^networks\[0\]\.ports\[1\]\.devargs: .* already used by underlay "lan"/);
});
