// Devices and addresses by rtnetlink, judged by the ip command.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Tun, tun } from '../../src/native/tun.js';
import { joinByVeth, makeNamespace, namespacePath, removeNamespaces, runIn } from '../rig/namespaces.js';
import { describeWith } from '../rig/requirements.js';
import { thrownBy } from './binding.js';

describeWith(['root', 'addon', 'ip'], 'links and addresses', () => {
  let addon: Tun;
  let names: [string, string];
  let netns: string;
  let other: string;
  const show = (name: string) => JSON.parse(runIn(names[0], 'ip', '-d', '-j', 'link', 'show', name))[0];

  beforeAll(() => {
    addon = tun();
    names = [makeNamespace('lnkA'), makeNamespace('lnkB')];
    [netns, other] = names.map(namespacePath);
    joinByVeth(
      { namespace: names[0], device: 'va', address: '198.18.1.1/24' },
      { namespace: names[1], device: 'vb', address: '198.18.1.2/24' },
    );
    for (let i = 0; i < 60; i++) runIn(names[0], 'ip', 'link', 'add', `many${i}`, 'type', 'ifb');
    runIn(names[0], 'ip', 'link', 'add', 'chg', 'type', 'veth', 'peer', 'name', 'chgpeer');
  }, 60_000);
  afterAll(removeNamespaces);

  it('reads a device as ip does', () => {
    const link = addon.linkGet({ netns, name: 'va' });
    const shown = show('va');
    expect(link).toEqual({
      index: shown.ifindex,
      name: 'va',
      mac: shown.address,
      mtu: shown.mtu,
      up: true,
      running: true,
      kind: 'veth',
      gsoMaxSize: shown.gso_max_size,
      netnsid: shown.link_netnsid,
      txDropped: 0,
    });
    expect(addon.linkGet({ netns, name: 'lo' })).toMatchObject({ index: 1, kind: '', mtu: 65_536, up: true });
    expect(addon.linkGet({ netns, name: 'missing' })).toBeNull();
    expect(addon.linkGet({ name: 'va' })).toBeNull();
  });

  it('counts what found the queue of a TAP full', () => {
    const tap = addon.openTap({ name: 'full', netns, create: true, queues: 1, vnetHdr: false, offloads: 0 });
    // By itself it sends nothing: the figure would go up between one look and the next.
    runIn(names[0], 'sysctl', '-qw', 'net.ipv6.conf.full.disable_ipv6=1');
    addon.linkSet({ netns, name: 'full', txQueueLen: 2, up: true });
    addon.addressAdd({ netns, name: 'full', address: '198.18.9.1/24' });
    runIn(names[0], 'ip', 'neigh', 'add', '198.18.9.2', 'lladdr', '02:00:00:00:00:02', 'dev', 'full');
    // Nobody reads the device: all but the first few packets are lost.
    runIn(names[0], 'sh', '-c', 'ping -c 5 -i 0.01 -W 0.1 198.18.9.2 || true');
    const shown = JSON.parse(runIn(names[0], 'ip', '-s', '-j', 'link', 'show', 'full'))[0].stats64.tx.dropped;
    expect(shown).toBeGreaterThan(0);
    expect(addon.linkGet({ netns, name: 'full' })?.txDropped).toBe(shown);
    for (const fd of tap.fds) addon.close(fd);
  });

  it('lists them all, also when they fill several replies', () => {
    const shown = JSON.parse(runIn(names[0], 'ip', '-j', 'link', 'show')) as { ifname: string; ifindex: number }[];
    const listed = addon.linkList({ netns });
    expect(listed.map(({ name, index }) => `${index} ${name}`).sort()).toEqual(
      shown.map(({ ifname, ifindex }) => `${ifindex} ${ifname}`).sort(),
    );
    expect(listed.length).toBeGreaterThan(60);
    expect(
      addon
        .linkList({ netns: other })
        .map(({ name }) => name)
        .sort(),
    ).toEqual(['lo', 'vb']);
    expect(addon.linkList().map(({ name }) => name)).toContain('lo');
  });

  it('changes what it is told to and nothing else', () => {
    addon.linkSet({ netns, name: 'chg', mtu: 1280, mac: '02:0a:0B:0c:0d:0e', txQueueLen: 123, gsoMaxSize: 50_000 });
    expect(show('chg')).toMatchObject({
      mtu: 1280,
      address: '02:0a:0b:0c:0d:0e',
      txqlen: 123,
      gso_max_size: 50_000,
      gro_max_size: 50_000,
      operstate: 'DOWN',
    });
    addon.linkSet({ netns, name: 'chg', up: true });
    addon.linkSet({ netns, name: 'chg', newName: 'renamed', mtu: 1300 });
    expect(show('renamed')).toMatchObject({ mtu: 1300, address: '02:0a:0b:0c:0d:0e', txqlen: 123 });
    expect(show('renamed').flags).toContain('UP');
    addon.linkSet({ netns, name: 'renamed', up: false });
    expect(show('renamed').flags).not.toContain('UP');
    addon.linkSet({ netns, name: 'renamed', moveTo: other });
    expect(addon.linkGet({ netns, name: 'renamed' })).toBeNull();
    addon.linkDelete({ netns: other, name: 'renamed' });
    expect(addon.linkGet({ netns: other, name: 'renamed' })).toBeNull();
  });

  it('says what failed, with the words of the kernel', () => {
    const failures: [() => unknown, object][] = [
      [
        () => addon.linkSet({ netns, name: 'missing', up: true }),
        { code: 'ENODEV', errno: 19, syscall: 'netlink RTM_SETLINK' },
      ],
      [() => addon.linkSet({ netns, name: 'missing', newName: 'x' }), { code: 'ENODEV' }],
      [() => addon.linkDelete({ netns, name: 'missing' }), { code: 'ENODEV', syscall: 'netlink RTM_DELLINK' }],
      [() => addon.linkDelete({ netns, name: 'lo' }), { code: 'EOPNOTSUPP' }],
      [
        () => addon.linkSet({ netns, name: 'va', newName: 'lo' }),
        { code: 'EEXIST', message: expect.stringContaining('new name lo') },
      ],
      [
        () => addon.linkSet({ netns, name: 'va', mtu: 1 }),
        { code: 'EINVAL', message: expect.stringMatching(/va: mtu (less than|.*) ?/) },
      ],
      [() => addon.linkSet({ netns, name: 'va', mac: '01:00:00:00:00:00' }), { code: 'EADDRNOTAVAIL' }],
      [
        () => addon.linkSet({ netns, name: 'va', moveTo: '/run/netns/wt-missing' }),
        { code: 'ENOENT', syscall: 'open' },
      ],
      [() => addon.linkSet({ netns, name: 'va', moveTo: '/dev/null' }), { code: 'EINVAL' }],
      [() => addon.linkGet({ netns: '/run/netns/wt-missing', name: 'lo' }), { code: 'ENOENT', syscall: 'open' }],
      [() => addon.addressAdd({ netns, name: 'missing', address: '10.0.0.1/8' }), { code: 'ENODEV' }],
    ];
    for (const [body, expected] of failures) expect(thrownBy(body)).toMatchObject(expected);
  });

  it('adds addresses once', () => {
    const add = (address: string, name = 'many1') => addon.addressAdd({ netns, name, address, noDad: true });
    add('10.7.0.1/24');
    add('10.7.0.1/24');
    add('10.7.0.1/16');
    add('fd00:7::1/64');
    add('fd00:7::1/64');
    // IPv6 has an address once on a device, whatever its prefix: another one is not what was asked for.
    expect(thrownBy(() => add('fd00:7::1/48'))).toMatchObject({
      code: 'EEXIST',
      errno: 17,
      syscall: 'netlink RTM_NEWADDR',
    });
    const listed = addon.addressList({ netns }).filter(({ name }) => name === 'many1');
    expect(listed.map(({ address, prefixLen, family }) => [address, prefixLen, family])).toEqual([
      ['10.7.0.1', 24, 4],
      ['10.7.0.1', 16, 4],
      ['fd00:7::1', 64, 6],
    ]);
    const [shown] = JSON.parse(runIn(names[0], 'ip', '-j', 'addr', 'show', 'many1'));
    type Shown = { local: string; prefixlen: number };
    expect(shown.addr_info.map(({ local, prefixlen }: Shown) => `${local}/${prefixlen}`)).toEqual([
      '10.7.0.1/24',
      '10.7.0.1/16',
      'fd00:7::1/64',
    ]);
    expect(new Set(listed.map(({ index }) => index))).toEqual(new Set([shown.ifindex]));
  });

  it('leaves the namespace of the calling thread as it is', () => {
    const before = addon.linkList().map(({ name }) => name);
    for (let i = 0; i < 50; i++) addon.linkGet({ netns, name: 'va' });
    expect(addon.linkList().map(({ name }) => name)).toEqual(before);
    expect(before).not.toContain('va');
  });
});
