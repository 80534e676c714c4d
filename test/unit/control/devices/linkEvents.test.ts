import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { type LinkEvents, type LinkNews, watchLinks } from '../../../../src/control/devices/linkEvents.js';
import type { LinkEvent } from '../../../../src/native/tun.js';
import { type FakeKernel, fakeKernel } from '../fakes.js';

let kernel: FakeKernel;
let heard: LinkNews[];
let links: LinkEvents;
const ETH0: LinkEvent = {
  kind: 'link',
  index: 2,
  name: 'eth0',
  mac: '02:00:00:00:00:ff',
  mtu: 1400,
  up: true,
  running: true,
  deleted: false,
};
const address = (index: number) =>
  ({ kind: 'address', index, address: '192.0.2.9', prefixLen: 24, deleted: false }) as const;

beforeEach(() => {
  vi.useFakeTimers();
  kernel = fakeKernel();
  heard = [];
  links = watchLinks(kernel, (news) => heard.push(news));
});
afterEach(() => vi.useRealTimers());

it('hands on what a look finds, and says nothing when there is nothing', () => {
  vi.advanceTimersByTime(1000);
  expect(heard).toEqual([]);
  kernel.news = { events: [ETH0], routes: false, overrun: false };
  vi.advanceTimersByTime(250);
  expect(heard).toEqual([{ events: [ETH0], routes: false, overrun: false }]);
  kernel.news = { events: [], routes: true, overrun: false };
  links.look();
  expect(heard.at(-1)).toEqual({ events: [], routes: true, overrun: false });
});

it('names the device of an address, after a change of name as well', () => {
  const names = (index: number, before: LinkEvent[] = []) => {
    kernel.news = { events: [...before, address(index)], routes: false, overrun: false };
    links.look();
    return heard.at(-1)!.events.map((event) => event.name);
  };
  expect(names(2)).toEqual(['eth0']);
  expect(names(2, [{ ...ETH0, name: 'wan' }])).toEqual(['wan', 'wan']);
  expect(names(77)).toEqual(['']);
});

it('takes a look that fails for lost news', () => {
  kernel.monitorRead = () => {
    throw new Error('recvfrom: EBADF');
  };
  links.look();
  expect(heard).toEqual([{ events: [], routes: true, overrun: true }]);
});

it('closes its descriptor once and hears nothing afterwards', () => {
  expect([...kernel.open.values()]).toEqual(['monitor ']);
  links.stop();
  links.stop();
  expect(kernel.open.size).toBe(0);
  kernel.news = { events: [ETH0], routes: false, overrun: false };
  vi.advanceTimersByTime(1000);
  links.look();
  expect(heard).toEqual([]);
});
