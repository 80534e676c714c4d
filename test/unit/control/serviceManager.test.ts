import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createServiceManager } from '../../../src/control/serviceManager.js';

const WATCHED = { NOTIFY_SOCKET: '/run/systemd/notify', WATCHDOG_USEC: '2000000' };

let notices: { socket: string; message: string }[];
let warnings: string[];
let workers: { index: number; turns: number; threadId: number }[];
let send: (notice: { socket: string; message: string }) => void;

const managerOf = (env: NodeJS.ProcessEnv) =>
  createServiceManager({
    env,
    pid: 77,
    send: (notice) => send(notice),
    now: () => performance.now(),
    workers: () => workers,
    warn: (message) => warnings.push(message),
  });
const messages = () => notices.map(({ message }) => message);

/** Seconds in which the workers with these indexes turn. */
function pass(seconds: number, ...turning: number[]): void {
  for (let s = 0; s < seconds; s++) {
    for (const worker of workers) if (turning.includes(worker.index)) worker.turns++;
    vi.advanceTimersByTime(1000);
  }
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
  notices = [];
  warnings = [];
  send = (notice) => notices.push(notice);
  workers = [
    { index: 0, turns: 10, threadId: 1 },
    { index: 1, turns: 10, threadId: 2 },
  ];
});
afterEach(() => {
  vi.useRealTimers();
});

describe('a service manager', () => {
  it('hears nothing when there is none', () => {
    const manager = managerOf({ WATCHDOG_USEC: '2000000' });
    manager.ready('2 ports');
    manager.reloading();
    vi.advanceTimersByTime(10_000);
    manager.stopping();
    expect(notices).toEqual([]);
  });

  it('hears of start, reload, state and end', () => {
    const manager = managerOf({ NOTIFY_SOCKET: '@abstract' });
    vi.advanceTimersByTime(1500);
    manager.ready('1 port');
    const at = Math.floor(performance.now() * 1000);
    manager.reloading();
    manager.ready('2 ports');
    manager.status('3 ports');
    manager.stopping();
    expect(notices[0].socket).toBe('@abstract');
    expect(messages()).toEqual([
      'READY=1\nSTATUS=1 port',
      `RELOADING=1\nMONOTONIC_USEC=${at}`,
      'READY=1\nSTATUS=2 ports',
      'STATUS=3 ports',
      'STOPPING=1',
    ]);
    vi.advanceTimersByTime(10_000);
    expect(notices).toHaveLength(5);
  });

  it('that cannot be reached is told of once, until it can be', () => {
    const manager = managerOf(WATCHED);
    send = () => {
      throw new Error('sendto: ENOENT');
    };
    manager.ready('');
    pass(5, 0, 1);
    expect(warnings).toEqual(['the service manager at NOTIFY_SOCKET was not reached: sendto: ENOENT']);
    send = (notice) => notices.push(notice);
    pass(1, 0, 1);
    expect(messages()).toEqual(['WATCHDOG=1']);
    expect(warnings).toHaveLength(1);
  });
});

describe('the watchdog', () => {
  const fed = () => messages().filter((message) => message === 'WATCHDOG=1').length;

  it('is fed twice in its time while every worker turns', () => {
    managerOf(WATCHED).ready('');
    pass(10, 0, 1);
    expect(fed()).toBe(10);
  });

  it('is not fed while a worker is stuck, and again when it turns', () => {
    managerOf(WATCHED).ready('');
    pass(5, 0, 1);
    pass(10, 0);
    // The worker was seen turning at the fifth second; for three more it may as well sleep.
    expect(fed()).toBe(7);
    expect(warnings).toEqual(['the watchdog is not fed: no turn for 3 s of worker 1']);
    pass(4, 0, 1);
    expect(fed()).toBe(11);
  });

  it('gives a worker that was replaced time to start', () => {
    managerOf(WATCHED).ready('');
    pass(3, 0, 1);
    workers[1] = { index: 1, turns: 0, threadId: 9 };
    pass(2, 0);
    expect(fed()).toBe(5);
  });

  it('of another process, or of no length, is none', () => {
    for (const env of [
      { WATCHDOG_PID: '78' },
      { WATCHDOG_USEC: '0' },
      { WATCHDOG_USEC: 'soon' },
      { WATCHDOG_USEC: '' },
    ])
      managerOf({ ...WATCHED, ...env }).ready('');
    managerOf({ ...WATCHED, WATCHDOG_PID: '77' }).ready('');
    pass(4, 0, 1);
    expect(fed()).toBe(4);
  });
});
