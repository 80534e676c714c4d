import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { createPathMtus, type PathMtus } from '../../../../src/control/peers/pathMtus.js';

let changes: number;
let paths: PathMtus;

beforeEach(() => {
  vi.useFakeTimers();
  changes = 0;
  paths = createPathMtus({ now: () => performance.now() / 1000, changed: () => changes++ });
});
afterEach(() => vi.useRealTimers());

const A = '198.18.0.2';

it('remembers the smallest that was told, and who told it', () => {
  paths.lower('blue', A, 1400, 'icmp');
  paths.lower('blue', A, 1450, 'probe');
  paths.lower('green', A, 1300, 'emsgsize');
  expect(paths.list()).toEqual([
    { network: 'blue', address: A, bytes: 1400, why: 'icmp', expiresInSec: 600 },
    { network: 'green', address: A, bytes: 1300, why: 'emsgsize', expiresInSec: 600 },
  ]);
  paths.lower('blue', A, 1280, 'probe');
  expect(paths.list()[0]).toMatchObject({ bytes: 1280, why: 'probe' });
  expect(Object.fromEntries(paths.facts())).toEqual({ [`blue/${A}`]: 1280, [`green/${A}`]: 1300 });
  expect(changes).toBe(3);
});

it('forgets after ten minutes; the same again lasts longer and changes nothing', () => {
  paths.lower('blue', A, 1400, 'icmp');
  vi.advanceTimersByTime(300_000);
  paths.lower('blue', A, 1400, 'icmp');
  expect(changes).toBe(1);
  vi.advanceTimersByTime(599_000);
  expect(paths.list()).toMatchObject([{ expiresInSec: 1 }]);
  vi.advanceTimersByTime(2000);
  expect(paths.list()).toEqual([]);
  expect(changes).toBe(2);
  paths.lower('blue', A, 1450, 'icmp');
  expect(paths.list()).toMatchObject([{ bytes: 1450 }]);
});

it.each([
  [A, 68, 576],
  [A, 0, 576],
  ['2001:db8::2', 576, 1280],
  ['2001:db8::2', 1400, 1400],
])('goes no lower than every path takes: %s, %d -> %d', (address, bytes, taken) => {
  paths.lower('blue', address, bytes, 'icmp');
  expect(paths.list()[0].bytes).toBe(taken);
});

it('forgets one path when asked to, and all at the end', () => {
  paths.lower('blue', A, 1400, 'icmp');
  paths.lower('blue', '198.18.0.3', 1400, 'icmp');
  paths.forget('blue', A);
  paths.forget('blue', A);
  expect(paths.list()).toMatchObject([{ address: '198.18.0.3' }]);
  expect(changes).toBe(3);
  paths.stop();
  expect(paths.list()).toEqual([]);
  vi.advanceTimersByTime(700_000);
  expect(changes).toBe(3);
});
