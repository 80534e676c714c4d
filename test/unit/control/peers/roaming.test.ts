import { describe, expect, it } from 'vitest';
import { identityOf, isProof, type Roamer, roamerOf } from '../../../../src/control/peers/roaming.js';
import type { Heartbeat } from '../../../../src/wire/heartbeat.js';
import { join } from '../../../rig/frames.js';

const NODE = '1111111111111111';
const INSTANCE = '2222222222222222';
const HOME = '00000000000000000000ffffc0000202';
const OTHER = '00000000000000000000ffffc0000203';

const said = (rest: { node?: string; instance?: string; home?: string } = {}): Heartbeat => ({
  type: 1,
  node: join(rest.node ?? NODE),
  instance: join(rest.instance ?? INSTANCE),
  home: join(rest.home ?? HOME),
  sequence: 1,
  heldUs: 0,
  to: join('0000000000000000'),
});

const roamer = (home: string, identity: Roamer['identity'] = null, state: Roamer['state'] = 'down'): Roamer => ({
  home,
  identity,
  state,
});

describe('who roams', () => {
  it('is known by its instance, then by its own address, then by its name', () => {
    const byInstance = roamer(OTHER, { node: 'x', instance: INSTANCE }, 'up');
    const byHome = roamer(HOME);
    const byName = roamer(OTHER, { node: NODE, instance: 'y' });
    expect(roamerOf([byName, byHome, byInstance], said())).toBe(byInstance);
    expect(roamerOf([byName, byHome], said())).toBe(byHome);
    expect(roamerOf([byName], said())).toBe(byName);
    expect(roamerOf([roamer(OTHER), roamer(OTHER, { node: 'x', instance: 'y' })], said())).toBeNull();
    expect(roamerOf([], said())).toBeNull();
  });

  it('is not a peer that answers as another instance', () => {
    expect(roamerOf([roamer(HOME, { node: NODE, instance: 'y' }, 'up')], said())).toBeNull();
    expect(roamerOf([roamer(HOME, { node: NODE, instance: 'y' }, 'unknown')], said())).not.toBeNull();
  });
});

it('an identity is written as hexadecimal digits', () => {
  expect(identityOf(said())).toEqual({ node: NODE, instance: INSTANCE });
});

describe('proof', () => {
  const to = { address: '203.0.113.5', udpPort: 31000 };

  it('is an answer from where the question went, by who was asked', () => {
    expect(isProof({ to, instance: INSTANCE }, { ...to }, said())).toBe(true);
    expect(isProof({ to, instance: null }, { ...to }, said())).toBe(true);
    expect(isProof({ to, instance: INSTANCE }, { ...to }, said({ instance: '3333333333333333' }))).toBe(false);
    expect(isProof({ to, instance: INSTANCE }, { ...to, udpPort: 31001 }, said())).toBe(false);
    expect(isProof({ to, instance: INSTANCE }, { ...to, address: '203.0.113.6' }, said())).toBe(false);
  });
});
