import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { DROP, DROP_COUNT, DROP_REASONS } from '../../../src/packet/drop.js';

/**
 * Numbers are kept in captures and in saved reports. This list may grow at its end and change in no other way.
 */
const NUMBERS = [
  'none',
  'malformed-frame',
  'malformed-outer',
  'malformed-tunnel',
  'tunnel-flags',
  'outer-checksum',
  'outer-fragment',
  'not-for-us',
  'unknown-vni',
  'unknown-peer',
  'link-local-control',
  'invalid-source',
  'same-port',
  'split-horizon',
  'no-destination',
  'broadcast-limit',
  'mac-flap',
  'static-mac',
  'too-big',
  'bad-offload',
  'offload-leak',
  'ecn',
  'truncated',
  'no-slot',
  'no-neighbour',
  'device-gone',
  'tx-full',
  'tx-too-big',
  'tx-error',
  'worker-lost',
  'tunnel-protocol',
  'critical-option',
  'option-mismatch',
  'tunnel-control',
  'tunnel-checksum',
  'tunnel-sequence',
  'malformed-packet',
  'no-route',
  'ttl-exceeded',
  'nesting-limit',
  'wrong-mac',
  'not-routed',
  'stray-heartbeat',
  'static-neighbour',
];

describe('the drop list', () => {
  it('has its numbers for ever', () => {
    expect(DROP_REASONS.map((r) => r.name)).toEqual(NUMBERS);
    NUMBERS.forEach((name, number) => {
      expect((DROP as Record<string, number>)[name]).toBe(number);
    });
    expect(DROP_COUNT).toBe(NUMBERS.length);
  });

  it('has names and texts that are told apart', () => {
    expect(new Set(DROP_REASONS.map((r) => r.name)).size).toBe(DROP_COUNT);
    expect(new Set(DROP_REASONS.map((r) => r.text)).size).toBe(DROP_COUNT);
    for (const { name, text } of DROP_REASONS) {
      expect(name).toMatch(/^[a-z]+(-[a-z]+)*$/);
      expect(text).toMatch(/^[a-zA-Z]/);
    }
  });

  it('cannot be changed at run time', () => {
    expect(() => {
      (DROP as Record<string, number>)['too-big'] = 99;
    }).toThrow(TypeError);
  });
});

it('has no reason that nothing in src gives', () => {
  const root = fileURLToPath(new URL('../../../src/', import.meta.url));
  const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((f) => f.endsWith('.ts'));
  const text = files
    .filter((f) => !f.endsWith('packet/drop.ts'))
    .map((f) => readFileSync(root + f, 'utf8'))
    .join('\n');
  // Dormant: slots of rx windows are taken before the first frame, and memory ports refuse what they cannot hold.
  const dormant = ['none', 'no-slot'];
  const given = (name: string) =>
    [`DROP['${name}']`, `DROP.${name}`, `? '${name}'`, `: '${name}'`].some((use) => text.includes(use));
  expect(NUMBERS.filter((name) => !given(name) && !dormant.includes(name))).toEqual([]);
});
