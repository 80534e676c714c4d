import type { Tun } from '../native/tun.js';

/**
 * Descriptors that stay readable: they stand for devices while a worker warms up, so that its turn loop is warm too. They belong to the control
 * thread, because a thread that is ended in its warm-up gives nothing back.
 */
export type StandIns = number[];

/** One for each device of the warm-up's plan; the warm-up refuses fewer. */
const STAND_INS = 32;

export function openStandIns(tun: Tun): StandIns {
  return Array.from({ length: STAND_INS }, () => {
    const fd = tun.eventfd();
    tun.wake(fd);
    return fd;
  });
}

export function closeStandIns(tun: Tun, standIns: readonly number[]): void {
  for (const fd of standIns) tun.close(fd);
}
