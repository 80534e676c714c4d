// Routes, neighbours and the end of an address, judged by the ip command.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ROUTE_PROTOCOL, type RouteChange, type Tun, tun } from '../../src/native/tun.js';
import { joinByVeth, makeNamespace, namespacePath, removeNamespaces, runIn, untilSettled } from '../rig/namespaces.js';
import { describeWith } from '../rig/requirements.js';
import { thrownBy } from './binding.js';

describeWith(['root', 'addon', 'ip', 'ping'], 'routes and neighbours', () => {
  let addon: Tun;
  let names: [string, string];
  let netns: string;
  const ip = (...args: string[]) => runIn(names[0], 'ip', ...args);
  const shown = (...args: string[]) => JSON.parse(ip('-N', '-d', '-j', ...args)) as Record<string, unknown>[];
  const ours = (...args: string[]) => shown(...args, 'proto', String(ROUTE_PROTOCOL), 'table', 'all');

  beforeAll(async () => {
    addon = tun();
    names = [makeNamespace('rteA'), makeNamespace('rteB')];
    netns = namespacePath(names[0]);
    joinByVeth(
      { namespace: names[0], device: 'va', address: '198.18.2.1/24' },
      { namespace: names[1], device: 'vb', address: '198.18.2.2/24' },
    );
    for (const [i, device] of ['va', 'vb'].entries()) {
      addon.addressAdd({ netns: namespacePath(names[i]), name: device, address: `fd00:2::${i + 1}/64`, noDad: true });
    }
    // Routes are compared below.
    await untilSettled(names[0], 'va');
  });
  afterAll(removeNamespaces);

  it('come and go as they were asked for', () => {
    const routes: [RouteChange, object, string][] = [
      [{ prefix: '10.42.2.0/24', device: 'va' }, { dst: '10.42.2.0/24', dev: 'va', scope: '253' }, '-4'],
      [
        { prefix: '10.42.3.0/24', via: '198.18.2.2' },
        { gateway: '198.18.2.2', dev: 'va', scope: '0', flags: [] },
        '-4',
      ],
      [
        { prefix: '10.42.4.0/24', via: '10.99.0.1', device: 'va', onlink: true },
        { gateway: '10.99.0.1', dev: 'va', flags: ['onlink'] },
        '-4',
      ],
      [{ prefix: '10.42.5.0/32', device: 'va', metric: 7 }, { dst: '10.42.5.0', metric: 7 }, '-4'],
      [{ prefix: '0.0.0.0/0', via: '198.18.2.2', table: 4242 }, { dst: 'default', table: '4242' }, '-4'],
      [{ prefix: 'fd00:42::/48', via: 'fd00:2::2' }, { dst: 'fd00:42::/48', gateway: 'fd00:2::2', metric: 1024 }, '-6'],
      [{ prefix: 'fd00:43::/48', device: 'va', metric: 9 }, { dst: 'fd00:43::/48', dev: 'va', metric: 9 }, '-6'],
      [
        { prefix: 'fd00:44::/48', device: 'va', via: 'fe80::1', onlink: true, table: 77 },
        { gateway: 'fe80::1', dev: 'va', table: '77', flags: ['onlink'] },
        '-6',
      ],
      [{ prefix: '::/0', via: 'fd00:2::2' }, { gateway: 'fd00:2::2' }, '-6'],
    ];
    const before = shown('route', 'show', 'table', 'all');
    for (const [change, expected, family] of routes) {
      addon.routeAdd({ netns, ...change });
      const found = ours(family, 'route', 'show');
      expect(found, change.prefix).toHaveLength(1);
      expect(found[0]).toMatchObject({ type: '1', ...expected });
      expect(thrownBy(() => addon.routeAdd({ netns, ...change }))).toMatchObject({
        code: 'EEXIST',
        syscall: 'netlink RTM_NEWROUTE',
        message: expect.stringContaining(change.prefix),
      });
      const listed = addon.routeList({ netns, table: 0 }).filter(({ protocol }) => protocol === ROUTE_PROTOCOL);
      expect(listed).toEqual([
        {
          family: family === '-4' ? 4 : 6,
          prefix: change.prefix,
          type: 'unicast',
          device: 'va',
          via: change.via ?? null,
          source: null,
          metric: change.metric ?? (family === '-4' ? 0 : 1024),
          table: change.table ?? 254,
          protocol: 199,
        },
      ]);
      addon.routeDelete({ netns, ...change });
      expect(ours(family, 'route', 'show')).toEqual([]);
      expect(thrownBy(() => addon.routeDelete({ netns, ...change }))).toMatchObject({ code: 'ESRCH' });
    }
    expect(shown('route', 'show', 'table', 'all')).toEqual(before);
  });

  it('leave those of others alone', () => {
    ip('route', 'add', '10.50.0.0/16', 'dev', 'va');
    ip('-6', 'route', 'add', 'fd00:50::/48', 'dev', 'va');
    for (const prefix of ['10.50.0.0/16', 'fd00:50::/48', '198.18.2.0/24']) {
      expect(thrownBy(() => addon.routeDelete({ netns, prefix, device: 'va' }))).toMatchObject({ code: 'ESRCH' });
    }
    expect(shown('-4', 'route', 'show', '10.50.0.0/16')).toHaveLength(1);
    expect(shown('-6', 'route', 'show', 'fd00:50::/48')).toHaveLength(1);
    expect(thrownBy(() => addon.routeAdd({ netns, prefix: '10.50.0.0/16', device: 'va' })).code).toBe('EEXIST');
  });

  it('are listed as ip lists them', () => {
    ip('route', 'add', '10.60.0.0/16', 'nexthop', 'via', '198.18.2.2', 'dev', 'va', 'nexthop', 'via', '198.18.2.3');
    ip('route', 'add', '10.61.0.0/16', 'via', 'inet6', 'fe80::7', 'dev', 'va');
    ip('route', 'add', 'unreachable', '10.62.0.0/16');
    for (let i = 0; i < 300; i++)
      addon.routeAdd({ netns, prefix: `10.70.${i >> 1}.${(i & 1) * 128}/25`, device: 'va' });
    const text = (route: Record<string, unknown>) =>
      `${route.dst === 'default' ? '0.0.0.0/0' : route.dst} ${route.metric ?? 0}`;
    const short = (prefix: string) => prefix.replace(/\/(32|128)$/, '');
    const listed = addon.routeList({ netns });
    for (const family of [4, 6] as const) {
      expect(
        listed
          .filter((route) => route.family === family)
          .map(({ prefix, metric }) => `${short(prefix)} ${metric}`)
          .sort(),
      ).toEqual(shown(`-${family}`, 'route', 'show').map(text).sort());
    }
    const of = (prefix: string) => listed.find((route) => route.prefix === prefix);
    expect(of('10.60.0.0/16')).toMatchObject({ device: 'va', via: '198.18.2.2' });
    expect(of('10.61.0.0/16')).toMatchObject({ device: 'va', via: 'fe80::7' });
    expect(of('10.62.0.0/16')).toMatchObject({ type: 'unreachable', device: null, via: null });
    expect(of('198.18.2.0/24')).toMatchObject({ device: 'va', via: null, source: '198.18.2.1', protocol: 2 });
    expect(addon.routeList({ netns, table: 255 }).every(({ table }) => table === 255)).toBe(true);
    expect(addon.routeList({ netns, table: 255 }).map(({ type }) => type)).toContain('local');
  });

  it('say whether an address is on the link', () => {
    addon.routeAdd({ netns, prefix: '10.80.0.0/16', via: '198.18.2.2' });
    addon.routeAdd({ netns, prefix: 'fd00:80::/48', via: 'fd00:2::2' });
    const cases: [string, object][] = [
      ['198.18.2.2', { device: 'va', via: null, source: '198.18.2.1', type: 'unicast', prefix: '198.18.2.2/32' }],
      ['10.80.1.1', { device: 'va', via: '198.18.2.2', source: '198.18.2.1' }],
      ['198.18.2.1', { device: 'lo', type: 'local' }],
      ['fd00:2::2', { device: 'va', via: null, source: 'fd00:2::1', family: 6 }],
      ['fd00:80::5', { device: 'va', via: 'fd00:2::2', source: 'fd00:2::1', prefix: 'fd00:80::5/128' }],
    ];
    for (const [address, expected] of cases)
      expect(addon.routeGet({ netns, address }), address).toMatchObject(expected);
    for (const address of ['203.0.113.1', 'fd00:99::1']) {
      const error = thrownBy(() => addon.routeGet({ netns, address }));
      expect(error, address).toMatchObject({ code: 'ENETUNREACH', syscall: 'netlink RTM_GETROUTE' });
      expect(error.message).toContain(address);
    }
    expect(thrownBy(() => addon.routeGet({ netns, address: '10.62.0.1' })).code).toBe('EHOSTUNREACH');
  });

  it('say what is in the way', () => {
    const failures: [RouteChange, string][] = [
      [{ prefix: '10.90.0.0/16', via: '203.0.113.1' }, 'ENETUNREACH'],
      [{ prefix: '10.90.0.0/16', device: 'wtmissing' }, 'ENODEV'],
      [{ prefix: '10.90.0.0/16' }, 'ENODEV'],
      [{ prefix: 'fd00:90::/48', via: 'fd00:99::1' }, 'EHOSTUNREACH'],
      [{ prefix: 'fd00:90::/48' }, 'ENODEV'],
    ];
    for (const [change, code] of failures) {
      expect(thrownBy(() => addon.routeAdd({ netns, ...change })).code, JSON.stringify(change)).toBe(code);
    }
    ip('link', 'add', 'down0', 'type', 'ifb');
    expect(thrownBy(() => addon.routeAdd({ netns, prefix: '10.90.0.0/16', device: 'down0' })).code).toBe('ENETDOWN');
    expect(() => addon.routeAdd({ netns, prefix: '10.90.0.0/16', via: 'fd00:2::2' })).toThrow(/via/);
    expect(() => addon.routeList({ netns: '/run/netns/wt-missing' })).toThrow('ENOENT');
  });

  it('neighbours have their MAC addresses', () => {
    runIn(names[0], 'ping', '-c', '1', '-W', '20', '198.18.2.2');
    runIn(names[0], 'ping', '-c', '1', '-W', '20', 'fd00:2::2');
    ip('neigh', 'add', '198.18.2.9', 'lladdr', '02:00:00:00:00:09', 'dev', 'va');
    const [{ address: mac }] = JSON.parse(runIn(names[1], 'ip', '-j', 'link', 'show', 'vb'));
    const listed = addon.neighbourList({ netns, device: 'va' });
    const of = (address: string) => listed.find((neighbour) => neighbour.address === address);
    expect(of('198.18.2.2')).toEqual({ family: 4, address: '198.18.2.2', mac, device: 'va', state: 'reachable' });
    expect(of('fd00:2::2')).toMatchObject({ family: 6, mac, device: 'va' });
    expect(of('198.18.2.9')).toMatchObject({ mac: '02:00:00:00:00:09', state: 'permanent' });
    expect(addon.neighbourList({ netns, device: 'lo' }).filter(({ device }) => device !== 'lo')).toEqual([]);
    expect(addon.neighbourList({ netns }).length).toBeGreaterThanOrEqual(listed.length);
  });

  it('neighbours are asked for without a packet', () => {
    for (const address of ['198.18.2.7', 'fd00:2::7']) {
      addon.neighbourUse({ netns, device: 'va', address });
      const found = addon.neighbourList({ netns, device: 'va' }).find((neighbour) => neighbour.address === address);
      expect(found).toMatchObject({ mac: '', state: 'incomplete' });
    }
    expect(thrownBy(() => addon.neighbourUse({ netns, device: 'none0', address: '198.18.2.7' })).code).toBe('ENODEV');
    expect(() => addon.neighbourUse({ netns, device: 'va', address: '198.18.2' })).toThrow(/address/);
  });

  it('addresses go again', () => {
    const list = () =>
      addon
        .addressList({ netns })
        .filter(({ name }) => name === 'va')
        .map(({ address }) => address);
    for (const address of ['10.7.0.1/24', 'fd00:7::1/64']) {
      addon.addressAdd({ netns, name: 'va', address, noDad: true });
      expect(list()).toContain(address.split('/')[0]);
      addon.addressDelete({ netns, name: 'va', address });
      expect(list()).not.toContain(address.split('/')[0]);
      expect(thrownBy(() => addon.addressDelete({ netns, name: 'va', address }))).toMatchObject({
        code: 'EADDRNOTAVAIL',
        syscall: 'netlink RTM_DELADDR',
      });
    }
    expect(thrownBy(() => addon.addressDelete({ netns, name: 'missing', address: '10.7.0.1/24' })).code).toBe('ENODEV');
  });
});
