// The monitor of devices, addresses and routes, judged by what the ip command did.
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { type LinkEvent, type MonitorNews, type Tun, tun } from '../../src/native/tun.js';
import { makeNamespace, namespacePath, removeNamespaces, runIn } from '../rig/namespaces.js';
import { describeWith } from '../rig/requirements.js';
import { sleep } from '../rig/waiting.js';
import { thrownBy } from './binding.js';

describeWith(['root', 'addon', 'ip'], 'monitor', () => {
  let addon: Tun;
  let name: string;
  let fd = -1;
  const ip = (...words: string[]) => runIn(name, 'ip', ...words);
  /** The last news of a device, once it runs or not as wanted: the kernel tells of the carrier a moment later. */
  async function untilRunning(device: string, running: boolean) {
    let last: LinkEvent | undefined;
    await vi.waitFor(() => {
      last = of(device) ?? last;
      expect(last?.running).toBe(running);
    }, 20_000);
    return last;
  }
  /** The last news of a device; what is told of another one meanwhile, its carrier, say, is read and forgotten. */
  const of = (device: string) => links(addon.monitorRead(fd)).findLast((event) => event.name === device);
  /** Reads until nothing has come for longer than the kernel waits before it tells of a carrier: a second at most. */
  async function untilSilent() {
    const isSilent = ({ events, routes, overrun }: MonitorNews) => events.length === 0 && !routes && !overrun;
    await vi.waitFor(async () => {
      addon.monitorRead(fd);
      await sleep(1200);
      expect(isSilent(addon.monitorRead(fd))).toBe(true);
    }, 20_000);
  }
  const links = (news: MonitorNews) => news.events.flatMap((event) => (event.kind === 'link' ? [event] : []));
  const addresses = (news: MonitorNews) => news.events.flatMap((event) => (event.kind === 'address' ? [event] : []));

  beforeAll(async () => {
    addon = tun();
    name = makeNamespace('mon');
    fd = addon.monitorOpen({ netns: namespacePath(name) });
    ip('link', 'add', 'da', 'type', 'veth', 'peer', 'name', 'db');
    // Without link-local addresses, which come by themselves, and are found to be nobody else's a second or two later.
    for (const device of ['da', 'db']) ip('link', 'set', device, 'addrgenmode', 'none');
    ip('link', 'set', 'db', 'up');
    await untilSilent();
  }, 60_000);
  afterAll(() => {
    addon.close(fd);
    removeNamespaces();
  });

  it('is silent while nothing happens', () => {
    expect(addon.monitorRead(fd)).toEqual({ events: [], routes: false, overrun: false });
  });

  it('tells of MTU, state, name and end of a device', async () => {
    const index = addon.linkGet({ netns: namespacePath(name), name: 'da' })!.index;
    ip('link', 'set', 'da', 'mtu', '1400');
    expect(of('da')).toMatchObject({ index, mtu: 1400, up: false });
    ip('link', 'set', 'da', 'up');
    expect(await untilRunning('da', true)).toMatchObject({ up: true, deleted: false });
    ip('link', 'set', 'db', 'down');
    expect(await untilRunning('da', false)).toMatchObject({ up: true });
    ip('link', 'set', 'da', 'down');
    ip('link', 'set', 'da', 'name', 'dz');
    expect(of('dz')).toMatchObject({ index, up: false });
    ip('link', 'add', 'br0', 'type', 'bridge');
    ip('link', 'set', 'dz', 'master', 'br0');
    ip('link', 'set', 'dz', 'nomaster');
    expect(links(addon.monitorRead(fd)).filter(({ deleted }) => deleted)).toEqual([]);
    ip('link', 'del', 'dz');
    const gone = links(addon.monitorRead(fd)).filter(({ deleted }) => deleted);
    expect(gone.map((event) => event.name).sort()).toEqual(['db', 'dz']);
  });

  it('tells of addresses and routes', async () => {
    ip('link', 'add', 'dc', 'type', 'veth', 'peer', 'name', 'dd');
    for (const device of ['dc', 'dd']) ip('link', 'set', device, 'addrgenmode', 'none', 'up');
    await untilSilent();
    ip('address', 'add', '10.9.0.1/24', 'dev', 'dc');
    ip('address', 'add', 'fd00::1/64', 'dev', 'dc', 'nodad');
    const added = addon.monitorRead(fd);
    expect(addresses(added)).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ address: '10.9.0.1', prefixLen: 24, deleted: false }),
        expect.objectContaining({ address: 'fd00::1', prefixLen: 64, deleted: false }),
      ]),
    );
    ip('address', 'del', '10.9.0.1/24', 'dev', 'dc');
    expect(addresses(addon.monitorRead(fd))).toContainEqual(
      expect.objectContaining({ address: '10.9.0.1', deleted: true }),
    );
    ip('route', 'add', '10.10.0.0/16', 'dev', 'dc', 'mtu', '1300');
    expect(addon.monitorRead(fd)).toMatchObject({ events: [], routes: true, overrun: false });
  });

  it('says that it lost something', () => {
    // Each change is some kilobytes of queue; it holds about 2 MiB.
    const batch = Array.from({ length: 1500 }, (_, i) => `link set dc mtu ${1300 + (i % 100)}`).join('\n');
    runIn(name, 'sh', '-c', `printf '%s\\n' "$0" | ip -batch -`, batch);
    let isOverrun = false;
    for (let i = 0; i < 10; i++) isOverrun ||= addon.monitorRead(fd).overrun;
    expect(isOverrun).toBe(true);
    expect(addon.monitorRead(fd)).toEqual({ events: [], routes: false, overrun: false });
    ip('link', 'set', 'dc', 'mtu', '1280');
    expect(of('dc')).toMatchObject({ mtu: 1280 });
  });

  it('refuses what is no monitor', () => {
    const bell = addon.eventfd();
    expect(thrownBy(() => addon.monitorRead(bell))).toMatchObject({ code: 'ENOTSOCK' });
    addon.close(bell);
    expect(thrownBy(() => addon.monitorRead(bell))).toMatchObject({ code: 'EBADF' });
    expect(thrownBy(() => addon.monitorRead(-1))).toBeInstanceOf(RangeError);
    expect(thrownBy(() => addon.monitorOpen({ netns: '/run/netns/missing' }))).toMatchObject({ code: 'ENOENT' });
  });
});
