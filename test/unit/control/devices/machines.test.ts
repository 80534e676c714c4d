// What is told of machines that come and go.
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { followMachines } from '../../../../src/control/devices/machines.js';

let running: Map<string, boolean>;
let told: string[];
let follower: { stop(): void };

beforeEach(() => {
  vi.useFakeTimers();
  running = new Map();
  told = [];
  follower = followMachines({
    running: () => new Map(running),
    up: (name) => told.push(`${name} up`),
    down: (name) => told.push(`${name} down`),
  });
});
afterEach(() => {
  follower.stop();
  vi.useRealTimers();
});

it('tells of each once, and of none that was not there', () => {
  running = new Map([
    ['vm0', true],
    ['vm1', false],
  ]);
  vi.advanceTimersByTime(3000);
  expect(told).toEqual(['vm0 up']);
  running = new Map([
    ['vm0', false],
    ['vm1', true],
  ]);
  vi.advanceTimersByTime(3000);
  expect(told).toEqual(['vm0 up', 'vm0 down', 'vm1 up']);
});

it('says nothing of a port that is removed, and begins anew with the next one of its name', () => {
  running = new Map([['vm0', true]]);
  vi.advanceTimersByTime(1000);
  running = new Map();
  vi.advanceTimersByTime(1000);
  running = new Map([['vm0', true]]);
  vi.advanceTimersByTime(1000);
  expect(told).toEqual(['vm0 up', 'vm0 up']);
});
