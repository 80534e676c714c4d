// One wait over descriptors and a doorbell.
import { afterEach, beforeEach, expect, it } from 'vitest';
import { EPOLLOUT, type Poll, type Tun, tun } from '../../src/native/tun.js';
import { describeWith } from '../rig/requirements.js';
import { type Binding, LAYOUT, least, makeBinding, READY, thrownBy } from './binding.js';

describeWith(['addon'], 'poll', () => {
  let addon: Tun;
  let binding: Binding;
  let poll: Poll;
  let open: number[];

  const doorbell = () => {
    const fd = addon.eventfd();
    open.push(fd);
    return fd;
  };
  const ready = (count: number) => [...binding.columns.ready.subarray(0, count)].sort((a, b) => a - b);

  beforeEach(() => {
    addon = tun();
    open = [];
    binding = makeBinding();
    poll = addon.bindPoll(binding.io, LAYOUT, LAYOUT.ready, READY);
  });
  afterEach(() => {
    poll.close();
    for (const fd of open) addon.close(fd);
  });

  it('reports what is ready under its id, as long as it is', () => {
    const [a, b, c] = [doorbell(), doorbell(), doorbell()];
    poll.add(a, 7);
    poll.add(b, 0);
    poll.add(c, 0x7fffffff);
    expect(poll.wait(0)).toBe(0);
    addon.wake(a);
    addon.wake(c);
    expect(poll.wait(0)).toBe(2);
    expect(ready(2)).toEqual([7, 0x7fffffff]);
    addon.drain(a);
    expect(poll.wait(0)).toBe(1);
    expect(ready(1)).toEqual([0x7fffffff]);
  });

  it('watches for the events asked for', () => {
    const fd = doorbell();
    poll.add(fd, 3, EPOLLOUT);
    expect(poll.wait(0)).toBe(1);
    poll.remove(fd);
    expect(poll.wait(0)).toBe(0);
    poll.add(fd, 4, 0);
    addon.wake(fd);
    expect(poll.wait(0)).toBe(0);
  });

  it('reports no more than there is room for, and the others next time', () => {
    const fds = Array.from({ length: READY + 4 }, doorbell);
    fds.forEach((fd, id) => {
      poll.add(fd, id);
      addon.wake(fd);
    });
    const seen = new Set<number>();
    for (let i = 0; i < 4; i++) {
      const count = poll.wait(0);
      expect(count).toBeGreaterThan(0);
      expect(count).toBeLessThanOrEqual(READY);
      for (const id of ready(count)) seen.add(id);
    }
    expect(seen.size).toBe(READY + 4);
  });

  /** Milliseconds of a wait in which nothing is ready. */
  function waitedMs(timeoutUs: number): number {
    const start = performance.now();
    expect(poll.wait(timeoutUs)).toBe(0);
    return performance.now() - start;
  }

  it('returns at once for a doorbell, drains it and does not report it', async () => {
    const bell = doorbell();
    poll.add(bell, -1);
    const waited = await least(200, () => {
      for (let i = 0; i < 5; i++) expect(addon.wake(bell)).toBe(0);
      return waitedMs(1e6);
    });
    expect(waited).toBeLessThan(200);
    // Silent now: this one waits.
    expect(waitedMs(20_000)).toBeGreaterThan(19);
  });

  it('waits for microseconds, and never longer than a second', async () => {
    const shortest = await least(0.9, () => Math.min(...Array.from({ length: 20 }, () => waitedMs(200))));
    expect(shortest).toBeGreaterThanOrEqual(0.2);
    // A wait rounded up to milliseconds would take a whole one.
    expect(shortest).toBeLessThan(0.9);
    for (const timeout of [0, -5, Number.NaN])
      expect(await least(100, () => waitedMs(timeout)), `${timeout}`).toBeLessThan(100);
    const longest = await least(1500, () => waitedMs(Number.POSITIVE_INFINITY));
    expect(longest).toBeGreaterThan(990);
    expect(longest).toBeLessThan(1500);
  });

  it('writes the clock at every wait', () => {
    const { clock } = binding.columns;
    const precise = new Float64Array(clock.buffer, (LAYOUT.clock + 2) * 4, 1);
    for (let i = 0; i < 100; i++) {
      const before = Number(process.hrtime.bigint());
      poll.wait(0);
      const after = Number(process.hrtime.bigint());
      expect(precise[0] * 1e9).toBeGreaterThanOrEqual(before - 1000);
      expect(precise[0] * 1e9).toBeLessThanOrEqual(after + 1000);
      expect(clock[0]).toBe(Math.floor(precise[0]));
      expect(Math.abs(clock[1] - ((precise[0] * 1000) | 0))).toBeLessThanOrEqual(1);
    }
    const now = Number(process.hrtime.bigint());
    expect(Math.abs(addon.monotonicNs() - now)).toBeLessThan(1e9);
  });

  it('names the error, the call and the descriptor', () => {
    const fd = doorbell();
    poll.add(fd, 1);
    expect(thrownBy(() => poll.add(fd, 2))).toMatchObject({ code: 'EEXIST', errno: 17, syscall: 'epoll_ctl ADD' });
    poll.remove(fd);
    expect(thrownBy(() => poll.remove(fd))).toMatchObject({ code: 'ENOENT', syscall: 'epoll_ctl DEL' });
    expect(thrownBy(() => poll.add(1_000_000, 2))).toMatchObject({
      code: 'EBADF',
      message: 'epoll_ctl ADD: EBADF (bad file descriptor): descriptor 1000000',
    });
  });

  it('can be closed twice; what is closed says so', () => {
    const fd = doorbell();
    poll.add(fd, 1);
    poll.close();
    poll.close();
    expect(poll.wait(0)).toBe(-9);
    expect(poll.wait(1000)).toBe(-9);
    expect(thrownBy(() => poll.add(fd, 1)).code).toBe('EBADF');
    expect(thrownBy(() => poll.remove(fd)).code).toBe('EBADF');
  });

  it('forgets a descriptor that is closed', () => {
    const fd = addon.eventfd();
    poll.add(fd, 1);
    addon.wake(fd);
    addon.close(fd);
    expect(poll.wait(0)).toBe(0);
    expect(thrownBy(() => addon.close(fd))).toMatchObject({ code: 'EBADF', errno: 9, syscall: 'close' });
    expect(addon.wake(fd)).toBe(-9);
    expect(addon.drain(fd)).toBe(-9);
  });
});
