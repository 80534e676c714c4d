import { describe, expect, it } from 'vitest';
import { checkValue, requireConfig } from '../../../../src/control/config/check.js';
import type { ConfigInput } from '../../../../src/control/config/config.js';
import { createDevices } from '../../../../src/control/devices/devices.js';
import { makePlan } from '../../../../src/control/plan/plan.js';
import { ROUTE_PROTOCOL } from '../../../../src/native/tun.js';
import type { WeftError } from '../../../../src/packet/error.js';
import { fakeKernel, route, systemError } from '../fakes.js';

const FACTS = {
  hostname: 'h',
  underlayMtu: new Map([['lan', 1500]]),
  underlayPrefixes: new Map([['lan', ['192.0.2.1/24']]]),
  users: new Map(),
  groups: new Map(),
};

type Network = ConfigInput['networks'][number];

function planOf(networks: Network[], rest: { underlay?: object; workers?: number; bridge?: string[] } = {}) {
  const { underlay, workers = 1, ...root } = rest;
  const underlays = [{ name: 'lan', address: '192.0.2.1', sourcePorts: 1, ...underlay }];
  return makePlan(requireConfig(checkValue({ node: { workers }, underlays, networks, ...root })), FACTS).plan;
}

function failure(step: () => unknown): WeftError {
  try {
    step();
  } catch (error) {
    return error as WeftError;
  }
  throw new Error('did not fail');
}

const tun = (rest: object = {}) => ({ name: 'r0', type: 'tun' as const, ...rest });
const ipip = (rest: Partial<Network> = {}): Network => ({
  name: 'r',
  underlay: 'lan',
  encapsulation: 'ipip',
  ports: [tun()],
  peers: [{ address: '192.0.2.2', prefixes: ['10.2.0.0/16'] }],
  ...rest,
});

describe('raw carriers', () => {
  it('have one receiver and one sender for each protocol, whatever the workers', () => {
    const kernel = fakeKernel();
    const devices = createDevices(kernel);
    const plan = planOf([ipip(), { name: 'g', underlay: 'lan', encapsulation: 'gre' }], { workers: 2 });
    devices.open(plan);
    expect(kernel.calls.filter((call) => call.startsWith('rawOpen'))).toEqual([
      'rawOpen 192.0.2.1 protocol 4',
      'rawOpen 192.0.2.1 protocol 41',
      'rawOpen 192.0.2.1 protocol 4 sink',
      'rawOpen 192.0.2.1 protocol 41 sink',
      'rawOpen 192.0.2.1 protocol 47',
      'rawOpen 192.0.2.1 protocol 47 sink',
    ]);
    const fdsOf = (what: string) => [...kernel.open].filter(([, w]) => w === what).map(([fd]) => fd);
    const [first, second] = devices.forWorkers(plan).map((worker) => worker.underlays);
    // Ids 1 and 2 over two workers: each owns the receiving of one.
    expect([first[0].rxFds, second[0].rxFds]).toEqual([[], [...fdsOf('raw 4'), ...fdsOf('raw 41')]]);
    expect([first[1].rxFds, second[1].rxFds]).toEqual([fdsOf('raw 47'), []]);
    for (const worker of [first, second]) {
      expect(worker[0]).toMatchObject({
        txFds: [...fdsOf('raw 4 sink'), ...fdsOf('raw 41 sink')],
        protocols: [4, 41],
        gro: false,
        segment: false,
      });
      expect(worker[1]).toMatchObject({ txFds: fdsOf('raw 47 sink'), protocols: [47] });
    }
    expect(devices.reports(plan).underlays.get(1)).toMatchObject({
      device: 'eth0',
      sourcePorts: [],
      path: { send: 'frames', receive: 'frames', reasons: [] },
    });
    expect(devices.closeAll()).toEqual([]);
    expect(kernel.open.size).toBe(0);
  });

  it("are another worker's when there are more, and back again, over the same sockets", () => {
    const kernel = fakeKernel();
    const devices = createDevices(kernel);
    const planFor = (workers: number) => planOf([ipip({ ports: [] })], { workers });
    devices.open(planFor(1));
    const [alone] = devices.forWorkers(planFor(1)).map(({ underlays }) => underlays[0]);
    expect(alone.rxFds).toHaveLength(2);
    kernel.calls.length = 0;
    const back = devices.open(planFor(2));
    // Its id is 1.
    const two = devices.forWorkers(planFor(2)).map(({ underlays }) => underlays[0]);
    expect(two).toEqual([{ ...alone, rxFds: [] }, alone]);
    back();
    expect(devices.forWorkers(planFor(1)).map(({ underlays }) => underlays[0])).toEqual([alone]);
    expect(kernel.calls.filter((call) => /raw|udp/.test(call))).toEqual([]);
    devices.closeAll();
    expect(kernel.open.size).toBe(0);
  });

  it('close everything when the second socket fails', () => {
    const kernel = fakeKernel();
    kernel.failOn.set('rawOpen 192.0.2.1 protocol 41', systemError('EPERM', 1, 'socket'));
    const error = failure(() => createDevices(kernel).open(planOf([ipip()])));
    expect(error).toMatchObject({ code: 'PERMISSION', object: 'underlay lan/ipip' });
    expect(error.remedy).toMatch(/CAP_NET_RAW/);
    expect(kernel.open.size).toBe(0);
  });
});

describe('UDP carriers of one underlay', () => {
  const NETWORKS: Network[] = [
    { name: 'a', underlay: 'lan', vni: 1 },
    { name: 'b', underlay: 'lan', vni: 1, encapsulation: 'geneve' },
  ];

  it('send from the same ports where they are configured', () => {
    const kernel = fakeKernel();
    const devices = createDevices(kernel);
    const plan = planOf(NETWORKS, { underlay: { sourcePorts: '50000-50000' } });
    devices.open(plan);
    expect(kernel.calls.filter((call) => call.startsWith('udpOpen'))).toEqual([
      'udpOpen 192.0.2.1:4789',
      'udpOpen 192.0.2.1:4789 reuse',
      'udpOpen 192.0.2.1:50000 sink',
      'udpOpen 192.0.2.1:50000 sink reuse',
      'udpOpen 192.0.2.1:6081',
      'udpOpen 192.0.2.1:6081 reuse',
      'udpOpen 192.0.2.1:50000 sink reuse',
    ]);
    expect([1, 2].map((id) => devices.reports(plan).underlays.get(id)!.sourcePorts)).toEqual([[50000], [50000]]);
  });

  it('have ports of their own where the kernel chooses', () => {
    const kernel = fakeKernel();
    const devices = createDevices(kernel);
    const plan = planOf(NETWORKS);
    devices.open(plan);
    const [a, b] = [1, 2].map((id) => devices.reports(plan).underlays.get(id)!.sourcePorts[0]);
    expect(a).not.toBe(b);
  });

  it('name the carrier and the kind of kernel tunnel when a port is busy', () => {
    const kernel = fakeKernel();
    kernel.busy.add(6081);
    const error = failure(() => createDevices(kernel).open(planOf(NETWORKS)));
    expect(error.message).toMatch(/underlay lan\/geneve: UDP port 6081 of 192.0.2.1 is busy/);
    expect(error.remedy).toMatch(/ip -d link show type geneve/);
  });

  it('open over IPv6', () => {
    const kernel = fakeKernel();
    kernel.own = ['2001:db8::1'];
    const requests: object[] = [];
    const { udpOpen } = kernel;
    kernel.udpOpen = (request) => {
      requests.push(request);
      return udpOpen(request);
    };
    const devices = createDevices(kernel);
    devices.open(planOf([{ name: 'a', underlay: 'lan', vni: 1 }], { underlay: { address: '2001:db8:0::1' } }));
    expect(requests.map((r) => ({ family: 0, acceptZeroChecksum: false, ...r }))).toMatchObject([
      { family: 6, address: '2001:db8::1', acceptZeroChecksum: true },
      { family: 6, acceptZeroChecksum: true },
      { family: 6, acceptZeroChecksum: false, reusePort: false },
      { family: 6, acceptZeroChecksum: false, reusePort: true },
    ]);
    const foreign = planOf([{ name: 'a', underlay: 'lan', vni: 1 }], { underlay: { address: '2001:db8::9' } });
    const error = failure(() => createDevices(kernel).open(foreign));
    expect(error.message).toMatch(/2001:db8::9 is not on this host/);
    expect(error.remedy).toMatch(/2001:db8::1 \(eth0\)/);
  });
});

describe('a tun port', () => {
  it('is made with its addresses, and its routes last', () => {
    const kernel = fakeKernel();
    const devices = createDevices(kernel);
    const port = tun({ netns: 'x', addresses: ['10.1.0.1/16'], prefixes: ['10.1.0.0/16'] });
    const plan = planOf([ipip({ ports: [port] })]);
    devices.open(plan);
    expect(kernel.calls.filter((call) => /r0|route/.test(call))).toEqual([
      'openTap /run/netns/x/r0',
      'linkSet /run/netns/x/r0 {"mtu":1480}',
      // 43 segments of 1428 bytes, and 52 of headers: no Ethernet.
      'linkSet /run/netns/x/r0 {"gsoMaxSize":61456}',
      'addressAdd /run/netns/x/r0 10.1.0.1/16',
      'linkSet /run/netns/x/r0 {"up":true}',
      'routeAdd /run/netns/x 10.2.0.0/16 null r0',
    ]);
    expect([...kernel.open.values()]).toContain('tun /run/netns/x/r0 created');
    expect(devices.reports(plan).ports.get(1)).toMatchObject({ mac: null, path: { receive: 'superframes' } });
    expect(devices.closeAll()).toEqual([]);
    expect(kernel.routes.size).toBe(0);
  });

  it('that was attached to loses the routes and the addresses that it was given', () => {
    const kernel = fakeKernel();
    kernel.links.set('/r0', { ...kernel.links.get('/eth0')!, name: 'r0', kind: 'tun', mtu: 1480 });
    const devices = createDevices(kernel);
    devices.open(planOf([ipip({ ports: [tun({ create: false, addresses: ['10.1.0.1/16'] })] })]));
    // No superframe that is longer than a slot.
    expect(kernel.calls).toContain('linkSet /r0 {"gsoMaxSize":65280}');
    kernel.calls.length = 0;
    expect(devices.closeAll()).toEqual([]);
    expect(kernel.calls).toEqual([
      'routeDelete  10.2.0.0/16',
      'addressDelete /r0 10.1.0.1/16',
      'linkSet /r0 {"gsoMaxSize":65536}',
    ]);
  });

  it('gets and loses routes as its peers come and go', () => {
    const kernel = fakeKernel();
    const devices = createDevices(kernel);
    const peers = (...prefixes: string[]) => planOf([ipip({ peers: [{ address: '192.0.2.2', prefixes }] })]);
    devices.open(peers('10.2.0.0/16'));
    const next = peers('10.3.0.0/16', '10.4.0.0/16');
    devices.open(next);
    expect([...kernel.routes.keys()]).toEqual([' 10.2.0.0/16', ' 10.3.0.0/16', ' 10.4.0.0/16']);
    expect(devices.closeOthers(next)).toEqual([]);
    expect([...kernel.routes.keys()]).toEqual([' 10.3.0.0/16', ' 10.4.0.0/16']);
  });

  it('leaves nothing when one of its routes is taken', () => {
    const kernel = fakeKernel();
    kernel.routes.set(' 10.3.0.0/16', route({ prefix: '10.3.0.0/16', via: '192.0.2.254', device: 'eth0' }));
    const peers = [{ address: '192.0.2.2', prefixes: ['10.2.0.0/16', '10.3.0.0/16'] }];
    const error = failure(() => createDevices(kernel).open(planOf([ipip({ peers })])));
    expect(error).toMatchObject({ code: 'DEVICE', object: 'port r0', errno: 17 });
    expect(error.message).toMatch(/there is a route to 10.3.0.0\/16 already via 192.0.2.254 dev eth0/);
    expect(error.remedy).toMatch(/ip route delete 10.3.0.0\/16 via 192.0.2.254 dev eth0/);
    expect(kernel.open.size).toBe(0);
    expect([...kernel.routes.keys()]).toEqual([' 10.3.0.0/16']);
  });
});

describe('routes of direct peers', () => {
  const direct = (...prefixes: string[]) =>
    planOf([ipip({ routing: 'direct', peers: [{ address: '192.0.2.2', prefixes }] })]);

  it('go by way of the peer, through the device of the underlay', () => {
    const kernel = fakeKernel();
    const devices = createDevices(kernel);
    devices.open(direct('10.2.0.0/16'));
    expect(kernel.calls.filter((call) => call.startsWith('route'))).toEqual(['routeAdd  10.2.0.0/16 192.0.2.2 eth0']);
    expect(devices.closeAll()).toEqual([]);
    expect(kernel.routes.size).toBe(0);
  });

  it('of a node that was killed are taken over', () => {
    const kernel = fakeKernel();
    const left = route({ prefix: '10.2.0.0/16', via: '192.0.2.2', device: 'eth0', protocol: ROUTE_PROTOCOL });
    kernel.routes.set(' 10.2.0.0/16', left);
    const devices = createDevices(kernel);
    devices.open(direct('10.2.0.0/16'));
    expect(devices.closeAll()).toEqual([]);
    expect(kernel.routes.size).toBe(0);
  });

  it('move with their prefix to another peer', () => {
    const kernel = fakeKernel();
    const devices = createDevices(kernel);
    devices.open(direct('10.2.0.0/16'));
    const moved = planOf([ipip({ routing: 'direct', peers: [{ address: '192.0.2.3', prefixes: ['10.2.0.0/16'] }] })]);
    devices.open(moved);
    devices.closeOthers(moved);
    expect([...kernel.routes.values()].map((r) => r.via)).toEqual(['192.0.2.3']);
  });

  it('need the peer on the link', () => {
    const kernel = fakeKernel();
    kernel.failOn.set('routeAdd', systemError('ENETUNREACH', 101, 'netlink RTM_NEWROUTE'));
    const error = failure(() => createDevices(kernel).open(direct('10.2.0.0/16')));
    expect(error.message).toMatch(/peer 192.0.2.2: 192.0.2.2 is not on the link of eth0/);
    expect(error.remedy).toMatch(/crossSubnet/);
    expect(kernel.open.size).toBe(0);
  });

  it('that have gone with their device are no failure', () => {
    const kernel = fakeKernel();
    const devices = createDevices(kernel);
    devices.open(direct('10.2.0.0/16'));
    kernel.routes.clear();
    expect(devices.closeAll()).toEqual([]);
  });
});
