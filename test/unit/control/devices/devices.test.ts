import { describe, expect, it } from 'vitest';
import { checkValue, requireConfig } from '../../../../src/control/config/check.js';
import type { ConfigInput } from '../../../../src/control/config/config.js';
import { createDevices } from '../../../../src/control/devices/devices.js';
import { gsoMaxSize } from '../../../../src/control/devices/dressing.js';
import { makePlan } from '../../../../src/control/plan/plan.js';
import type { WeftError } from '../../../../src/packet/error.js';
import { fakeKernel, systemError } from '../fakes.js';

const FACTS = {
  hostname: 'h',
  underlayMtu: new Map([['wan', 1500]]),
  underlayPrefixes: new Map(),
  users: new Map(),
  groups: new Map(),
};

type Offloads = Record<'vnetHeader' | 'tso' | 'uso' | 'gsoMaxSize', boolean>;
type Port = NonNullable<ConfigInput['networks'][number]['ports']>[number];

function planOf(ports: Port[], rest: { underlay?: object; node?: object } = {}) {
  const config = {
    node: { workers: 1, ...rest.node },
    underlays: [{ name: 'wan', address: '192.0.2.1', sourcePorts: 2, ...rest.underlay }],
    networks: [{ name: 'n', vni: 1, underlay: 'wan', peers: ['192.0.2.2'], ports }],
  };
  return makePlan(requireConfig(checkValue(config)), FACTS).plan;
}

const tap = (name: string, rest: object = {}): Port => ({ name, type: 'tap', ...rest }) as Port;

function failure(step: () => unknown): WeftError {
  try {
    step();
  } catch (error) {
    return error as WeftError;
  }
  throw new Error('did not fail');
}

describe('opening', () => {
  it('dresses a created TAP in the order that the kernel needs', () => {
    const kernel = fakeKernel();
    createDevices(kernel).open(
      planOf([tap('web', { netns: 'x', mac: '02:00:00:00:00:0a', addresses: ['10.0.0.1/24'] })]),
    );
    expect(kernel.calls.filter((call) => call.includes('web'))).toEqual([
      'openTap /run/netns/x/web',
      'linkSet /run/netns/x/web {"mac":"02:00:00:00:00:0a"}',
      'linkSet /run/netns/x/web {"mtu":1450}',
      'linkSet /run/netns/x/web {"gsoMaxSize":61578}',
      'addressAdd /run/netns/x/web 10.0.0.1/24',
      'linkSet /run/netns/x/web {"up":true}',
    ]);
  });

  it('asks for one receiving socket and one sender for each source port', () => {
    const kernel = fakeKernel();
    const devices = createDevices(kernel);
    const plan = planOf([], { underlay: { sourcePorts: '50000-50001' } });
    devices.open(plan);
    expect(kernel.calls).toEqual([
      'udpOpen 192.0.2.1:4789',
      'udpOpen 192.0.2.1:4789 reuse',
      'udpOpen 192.0.2.1:50000 sink',
      'udpOpen 192.0.2.1:50000 sink reuse',
      'udpOpen 192.0.2.1:50001 sink',
      'udpOpen 192.0.2.1:50001 sink reuse',
    ]);
    expect([...kernel.open.values()]).toEqual(['udp 4789', 'udp 50000', 'udp 50001']);
    expect(devices.reports(plan).underlays.get(1)).toMatchObject({
      device: 'eth0',
      deviceMtu: 1500,
      sourcePorts: [50000, 50001],
      path: { send: 'superframes', receive: 'superframes', reasons: [] },
    });
  });

  it('gives every worker its queue and its sockets', () => {
    const kernel = fakeKernel();
    const devices = createDevices(kernel);
    const plan = planOf([tap('a'), tap('b', { queues: 1 })], { node: { workers: 2 } });
    devices.open(plan);
    const [first, second] = devices.forWorkers(plan);
    const fds = (name: string) => [...kernel.open].filter(([, what]) => what.includes(`/${name} `)).map(([fd]) => fd);
    expect([first.ports[0].rxFd, second.ports[0].rxFd]).toEqual(fds('a'));
    expect([first.ports[0].txFd, second.ports[0].txFd]).toEqual(fds('a'));
    // One queue: one of the workers reads it, both write it.
    expect([first.ports[1].rxFd, second.ports[1].rxFd].sort((x, y) => x - y)).toEqual([-1, ...fds('b')]);
    expect([first.ports[1].txFd, second.ports[1].txFd]).toEqual([...fds('b'), ...fds('b')]);
    expect(first.underlays[0].rxFds).not.toEqual(second.underlays[0].rxFds);
    expect(first.underlays[0].txFds).toHaveLength(2);
    const ports = (w: typeof first) => w.underlays[0].txFds.map((fd) => kernel.open.get(fd));
    expect(ports(first)).toEqual(ports(second));
  });

  it('says what found the queue of a device full since it was opened', () => {
    const kernel = fakeKernel();
    kernel.links.set('/a', { ...kernel.links.get('/eth0')!, index: 7, name: 'a', txDropped: 100 });
    const devices = createDevices(kernel);
    const plan = planOf([tap('a', { create: false })]);
    devices.open(plan);
    const missed = () => devices.reports(plan).ports.get(1)!.missed();
    expect(missed()).toBe(0);
    kernel.links.set('/a', { ...kernel.links.get('/a')!, txDropped: 103 });
    expect(missed()).toBe(3);
    // Another device of that name counts for itself; what was lost before stays lost.
    kernel.links.set('/a', { ...kernel.links.get('/a')!, index: 8, txDropped: 500 });
    expect(missed()).toBe(3);
  });

  it('closes everything again when a part fails', () => {
    const kernel = fakeKernel();
    kernel.links.set('/taken', { ...kernel.links.get('/eth0')!, name: 'taken' });
    const devices = createDevices(kernel);
    const plan = planOf([tap('good'), tap('taken')]);
    expect(failure(() => devices.open(plan)).message).toContain('device taken exists already');
    expect(kernel.open.size).toBe(0);
    expect(kernel.links.has('/good')).toBe(false);
    expect(devices.forWorkers(plan)).toEqual([{ ports: [], underlays: [] }]);
  });

  it('leaves what was open before a failed addition', () => {
    const kernel = fakeKernel();
    const devices = createDevices(kernel);
    devices.open(planOf([tap('a')]));
    const before = new Map(kernel.open);
    kernel.failOn.set('addressAdd', systemError('EINVAL', 22, 'netlink RTM_NEWADDR'));
    expect(failure(() => devices.open(planOf([tap('a'), tap('b', { addresses: ['10.0.0.1/8'] })]))).code).toBe(
      'DEVICE',
    );
    expect(kernel.open).toEqual(before);
  });

  it('closes what a plan does not have any more', () => {
    const kernel = fakeKernel();
    const devices = createDevices(kernel);
    devices.open(planOf([tap('a'), tap('b')]));
    const smaller = planOf([tap('a')]);
    expect(devices.closeOthers(smaller)).toEqual([]);
    expect(kernel.links.has('/a')).toBe(true);
    expect(kernel.links.has('/b')).toBe(false);
    expect(devices.closeAll()).toEqual([]);
    expect(kernel.open.size).toBe(0);
  });

  it('gives an attached device back as it was', () => {
    const kernel = fakeKernel();
    const before = { ...kernel.links.get('/eth0')!, name: 'tap0', index: 7, mtu: 1400, up: false };
    kernel.links.set('/tap0', before);
    const devices = createDevices(kernel);
    devices.open(planOf([tap('vm', { device: 'tap0', create: false, mac: '02:00:00:00:00:0a' })]));
    expect(kernel.links.get('/tap0')).toMatchObject({ mtu: 1450, up: true, mac: '02:00:00:00:00:0a' });
    devices.closeAll();
    expect(kernel.links.get('/tap0')).toEqual(before);
  });
});

describe('the largest superframe of a created TAP', () => {
  // 44, 63, 7 and 1 segments of MTU - 52 bytes (IPv4 and TCP with timestamps), and 66 bytes of headers.
  it.each([
    [1450, 61578],
    [576, 33078],
    [9000, 62702],
    [65000, 65014],
  ])('MTU %d -> %d', (mtu, expected) => expect(gsoMaxSize(mtu, 22)).toBe(expected));
});

describe('errors name object, system call and remedy', () => {
  it.each<[string, (kernel: ReturnType<typeof fakeKernel>) => void, Port[], object, RegExp, RegExp, string]>([
    [
      'busy port',
      (k) => k.busy.add(4789),
      [],
      {},
      /underlay wan: UDP port 4789 of 192.0.2.1 is busy/,
      /ss -lunp/,
      'UNDERLAY',
    ],
    [
      'foreign address',
      () => {},
      [],
      { address: '192.0.2.9' },
      /address 192.0.2.9 is not on this host/,
      /192.0.2.1 \(eth0\)/,
      'UNDERLAY',
    ],
    [
      'no such underlay device',
      (k) => k.failOn.set('udpOpen', systemError('ENODEV', 19, 'setsockopt SO_BINDTODEVICE')),
      [],
      { device: 'eth9' },
      /device eth9 does not exist/,
      /ip link/,
      'UNDERLAY',
    ],
    [
      'too many files',
      (k) => k.failOn.set('udpOpen 192.0.2.1:0', systemError('EMFILE', 24, 'socket')),
      [],
      {},
      /too many open files/,
      /sourcePorts/,
      'LIMIT',
    ],
    [
      'attach to nothing',
      () => {},
      [tap('p', { create: false })],
      {},
      /port p: device p does not exist/,
      /ip tuntap add dev p/,
      'DEVICE',
    ],
    [
      'no netns',
      (k) => k.failOn.set('openTap', systemError('ENOENT', 2, 'open')),
      [tap('p', { netns: 'nope' })],
      {},
      /namespace \/run\/netns\/nope does not exist/,
      /ip netns add nope/,
      'DEVICE',
    ],
    [
      'no tun',
      (k) => k.failOn.set('openTap', systemError('ENOENT', 2, 'open')),
      [tap('p')],
      {},
      /\/dev\/net\/tun is missing/,
      /modprobe tun/,
      'PERMISSION',
    ],
    [
      'not root',
      (k) => k.failOn.set('openTap', systemError('EPERM', 1, 'ioctl TUNSETIFF')),
      [tap('p')],
      {},
      /not allowed/,
      /root/,
      'PERMISSION',
    ],
    [
      'in use',
      (k) => k.failOn.set('openTap', systemError('EBUSY', 16, 'ioctl TUNSETIFF')),
      [tap('p')],
      {},
      /used by another program/,
      /stop that program/,
      'DEVICE',
    ],
    [
      'used address',
      (k) => k.failOn.set('addressAdd', systemError('EEXIST', 17, 'netlink RTM_NEWADDR')),
      [tap('p', { addresses: ['10.0.0.1/8'] })],
      {},
      /an address of device p is already there/,
      /ip address show/,
      'DEVICE',
    ],
  ])('%s', (_name, prepare, ports, underlay, message, remedy, code) => {
    const kernel = fakeKernel();
    prepare(kernel);
    const error = failure(() => createDevices(kernel).open(planOf(ports, { underlay })));
    expect(error.message).toMatch(message);
    expect(error.remedy).toMatch(remedy);
    expect(error.code).toBe(code);
    expect(error.syscall).toBeTruthy();
    expect(error.errno).toBeGreaterThan(0);
    expect(error.object).toMatch(/^(underlay wan|port p)$/);
    expect(kernel.open.size).toBe(0);
  });
});

describe('the path in use is said, and why it is no faster', () => {
  const reasons = (prepare: (kernel: ReturnType<typeof fakeKernel>) => void, ports: Port[], underlay: object = {}) => {
    const kernel = fakeKernel();
    prepare(kernel);
    const devices = createDevices(kernel);
    const plan = planOf(ports, { underlay });
    devices.open(plan);
    const { ports: portReports, underlays } = devices.reports(plan);
    return { port: portReports.get(1)?.path, underlay: underlays.get(1)!.path };
  };

  it('checksum off', () => {
    const { underlay } = reasons(() => {}, [], { checksum: false });
    expect(underlay.send).toBe('frames');
    expect(underlay.reasons[0].reason).toMatch(/checksum: false.*UDP_GRO/);
    expect(underlay.reasons[0].remedy).toMatch(/checksum: true/);
  });

  it('no UDP_SEGMENT, no UDP_GRO, small buffers', () => {
    const { underlay } = reasons((k) => Object.assign(k.udpGives, { gro: false, segment: false, rcvbuf: 425984 }), []);
    expect(underlay).toMatchObject({ send: 'frames', receive: 'frames' });
    expect(underlay.reasons.map((r) => r.feature)).toEqual(['udp-segment', 'udp-gro', 'buffers']);
    expect(underlay.reasons[2].reason).toContain('212992 of 7340032 bytes');
  });

  it('no virtio-net header, no TSO', () => {
    expect(reasons((k) => Object.assign(k.tapGives, { vnetHdrLen: 0, offloads: 0 }), [tap('p')]).port).toMatchObject({
      receive: 'plain',
      reasons: [{ feature: 'vnet-header' }],
    });
    expect(reasons((k) => Object.assign(k.tapGives, { offloads: 1 }), [tap('p')]).port).toMatchObject({
      receive: 'frames',
      reasons: [{ feature: 'tso' }, { feature: 'uso' }],
    });
    // Linux before 6.2.
    expect(reasons((k) => Object.assign(k.tapGives, { offloads: 7 }), [tap('p')]).port).toMatchObject({
      receive: 'superframes',
      reasons: [{ feature: 'uso', remedy: 'use Linux 6.2 or newer' }],
    });
  });

  // TUN_F_CSUM 1, TSO4 2, TSO6 4, USO4 0x20, USO6 0x40.
  it.each<[Partial<Offloads>, boolean, number, string[]]>([
    [{}, true, 0x67, []],
    [{ vnetHeader: false }, false, 0, ['vnet-header']],
    [{ tso: false }, true, 0x61, ['tso']],
    [{ uso: false }, true, 7, ['uso']],
    [{ tso: false, uso: false }, true, 1, ['tso', 'uso']],
    [{ gsoMaxSize: false }, true, 7, ['uso', 'gso-max-size']],
  ])('a port that says %o', (offloads, vnetHdr, mask, features) => {
    const kernel = fakeKernel();
    const devices = createDevices(kernel);
    const plan = planOf([tap('p', { offloads })]);
    devices.open(plan);
    const [queue] = devices.forWorkers(plan)[0].ports;
    expect([queue.vnetHdrLen > 0, queue.offloads]).toEqual([vnetHdr, mask]);
    const { path } = devices.reports(plan).ports.get(1)!;
    expect(path.reasons.map(({ feature }) => feature)).toEqual(features);
    for (const { reason, remedy } of path.reasons) {
      expect(reason).toMatch(/^`offloads: \{\w+: false\}` of the port: /);
      expect(remedy).toBe('take it out');
    }
    expect(kernel.calls.some((call) => call.includes('gsoMaxSize'))).toBe(offloads.gsoMaxSize !== false);
  });

  it('an underlay that asks for neither UDP_SEGMENT nor UDP_GRO', () => {
    const kernel = fakeKernel();
    const devices = createDevices(kernel);
    const plan = planOf([], { underlay: { offloads: { segment: false, gro: false } } });
    devices.open(plan);
    expect(devices.forWorkers(plan)[0].underlays[0]).toMatchObject({ segment: false, gro: false });
    const { path } = devices.reports(plan).underlays.get(1)!;
    expect(path).toMatchObject({ send: 'frames', receive: 'frames' });
    expect(path.reasons.map(({ feature, remedy }) => [feature, remedy])).toEqual([
      ['udp-segment', 'take it out'],
      ['udp-gro', 'take it out'],
    ]);
  });

  it('no IFLA_GSO_MAX_SIZE', () => {
    const { port } = reasons(
      (k) => k.failOn.set('linkSet /p {"gsoMaxSize"', systemError('EOPNOTSUPP', 95, 'netlink')),
      [tap('p')],
    );
    expect(port).toMatchObject({ receive: 'superframes', reasons: [{ feature: 'gso-max-size' }] });
  });

  it('queues that the kernel chooses among as it likes', () => {
    const plan = planOf([tap('p')], { node: { workers: 2 } });
    const kernel = fakeKernel();
    const devices = createDevices(kernel);
    devices.open(plan);
    expect(kernel.calls.filter((call) => call.startsWith('tapSteer'))).toEqual(['tapSteer tap /p created 2']);
    expect(devices.reports(plan).ports.get(1)!.path.reasons).toEqual([]);
    const refusing = fakeKernel();
    refusing.failOn.set('tapSteer', systemError('EPERM', 1, 'bpf BPF_PROG_LOAD'));
    const others = createDevices(refusing);
    others.open(plan);
    expect(others.reports(plan).ports.get(1)!.path.reasons).toMatchObject([
      { feature: 'steering', remedy: 'give weft CAP_BPF as well' },
    ]);
  });

  it('a device that was removed or set down', () => {
    const kernel = fakeKernel();
    const devices = createDevices(kernel);
    const plan = planOf([tap('p')]);
    devices.open(plan);
    const state = () => devices.reports(plan).ports.get(1)!.state();
    expect(state()).toBe('up');
    kernel.linkSet({ name: 'p', up: false });
    expect(state()).toBe('down');
    kernel.links.set('/p', { ...kernel.links.get('/p')!, index: 99 });
    expect(state()).toBe('gone');
    kernel.links.delete('/p');
    expect(state()).toBe('gone');
  });
});
