// When it is tried to have back what was lost, and what is said about it.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Entity, entityKey, type Loss } from '../../../../src/control/devices/devices.js';
import { createHealing, type Healing } from '../../../../src/control/devices/healing.js';
import { WeftError } from '../../../../src/packet/error.js';

const lossOf = (id: number, scene = 'none', kind: Loss['kind'] = 'port'): Loss => ({
  kind,
  id,
  name: `n${id}`,
  what: 'device',
  message: `device n${id} is gone`,
  remedy: 'make it again',
  scene,
});

let clock: number;
let missing: Loss[];
let failing: Map<string, Error>;
let events: string[];
/** Seconds and entities of the attempts. */
let attempts: string[];
let looks: { isNews: boolean; close: string[] }[];
let removed: Set<string>;
let healing: Healing;

/** Lets time pass in small steps. */
async function pass(seconds: number): Promise<void> {
  await vi.advanceTimersByTimeAsync(0);
  for (let step = 0; step < seconds * 4; step++) {
    clock += 0.25;
    await vi.advanceTimersByTimeAsync(250);
  }
}

const healed = (loss: Loss) => {
  missing = missing.filter((other) => entityKey(other) !== entityKey(loss));
};

beforeEach(() => {
  vi.useFakeTimers();
  clock = 1000;
  missing = [];
  failing = new Map();
  events = [];
  attempts = [];
  looks = [];
  removed = new Set();
  const everything: Entity[] = [1, 2, 3].map((id) => ({ kind: 'port', id }));
  healing = createHealing({
    find(isClose, isNews) {
      looks.push({ isNews, close: everything.filter(isClose).map(entityKey) });
      return missing;
    },
    async renew(lost) {
      attempts.push(`${clock - 1000}: ${lost.map(entityKey).join()}`);
      for (const one of lost) if (!failing.has(entityKey(one))) healed(one as Loss);
      return new Map(failing);
    },
    isPlanned: (entity) => !removed.has(entityKey(entity)),
    lost: (loss) => events.push(`${clock - 1000} lost ${loss.name}`),
    healed: (loss, afterSec) => events.push(`${clock - 1000} healed ${loss.name} after ${afterSec}`),
    warn: (message) => events.push(message),
    now: () => clock,
  });
});
afterEach(() => {
  healing.stop();
  vi.useRealTimers();
});

describe('what is lost', () => {
  it('is had back at once where nothing is in the way', async () => {
    missing = [lossOf(1)];
    healing.news();
    await pass(0.25);
    expect(attempts).toEqual(['0: port 1']);
    expect(events).toEqual(['0 lost n1', '0 healed n1 after 0']);
    expect(healing.documents()).toEqual(new Map());
  });

  it('is found without news, within a second where it costs nothing, within 30 where it does', async () => {
    await pass(40);
    expect(looks.filter(({ isNews }) => isNews).length).toBe(1);
    expect(looks.filter(({ close }) => close.length === 3).length).toBe(1);
    missing = [lossOf(1)];
    await pass(1);
    expect(events.map((text) => text.split(' ').slice(1).join(' '))).toEqual(['lost n1', 'healed n1 after 0']);
  });

  it('is tried after 1, 2, 4, 8, 16 and then every 30 seconds, and said once', async () => {
    failing.set('port 1', new WeftError('DEVICE', 'port n1: no', { remedy: 'do this' }));
    missing = [lossOf(1)];
    await pass(120);
    const at = attempts.map((text) => Math.floor(Number(text.split(':')[0])));
    expect(at).toEqual([1, 2, 4, 8, 16, 32, 62, 92]);
    expect(events).toEqual(['1 lost n1']);
    expect(healing.documents().get('port 1')).toEqual({
      what: 'device',
      message: 'device n1 is gone',
      sinceSec: 119,
      attempts: 8,
      nextAttemptSec: 2,
      error: 'port n1: no',
      remedy: 'do this',
    });
  });

  it('is tried at once when something changes where it was, and not for other news', async () => {
    failing.set('port 1', new Error('no'));
    missing = [lossOf(1)];
    await pass(20);
    const before = attempts.length;
    for (let i = 0; i < 8; i++) {
      healing.news();
      await pass(0.25);
    }
    expect(attempts).toHaveLength(before);
    missing = [lossOf(1, 'index 7')];
    failing.clear();
    healing.news();
    await pass(0.25);
    expect(attempts).toHaveLength(before + 1);
    expect(events.at(-1)).toBe('22 healed n1 after 21');
    expect(healing.documents().size).toBe(0);
  });

  it('is not tried while it waits for somebody else, and at once when that is over', async () => {
    missing = [{ ...lossOf(1), waits: true }];
    await pass(20);
    expect(attempts).toEqual([]);
    expect(events).toEqual(['1 lost n1']);
    expect(healing.documents().get('port 1')).toMatchObject({ sinceSec: 19, attempts: 0, nextAttemptSec: 0 });
    missing = [lossOf(1, 'served')];
    await pass(1);
    expect(attempts).toEqual(['21: port 1']);
    expect(events.at(-1)).toBe('21 healed n1 after 20');
  });

  it('may come back by itself', async () => {
    failing.set('underlay 2', new Error('no'));
    missing = [lossOf(2, 'none', 'underlay')];
    await pass(3);
    missing = [];
    await pass(1);
    expect(events).toEqual(['1 lost n2', '4 healed n2 after 3']);
  });

  it('is no matter any more when it was removed', async () => {
    failing.set('port 1', new Error('no'));
    missing = [lossOf(1)];
    await pass(2);
    missing = [];
    removed.add('port 1');
    await pass(2);
    expect(events).toEqual(['1 lost n1']);
    expect(healing.documents().size).toBe(0);
  });

  it.each([
    [1, 2],
    [2, 1],
  ])('does not keep others from coming back (%i fails, %i does not)', async (bad, good) => {
    failing.set(`port ${bad}`, new Error('no'));
    missing = [lossOf(1), lossOf(2)];
    await pass(2);
    expect(events.filter((text) => text.includes('healed'))).toEqual([`1 healed n${good} after 0`]);
    expect([...healing.documents().keys()]).toEqual([`port ${bad}`]);
  });

  it('is tried once after a gap: a process that was stopped, a machine that slept', async () => {
    failing.set('port 1', new Error('no'));
    missing = [lossOf(1)];
    await pass(3);
    const before = attempts.length;
    clock += 86_400;
    await pass(1);
    expect(attempts).toHaveLength(before + 1);
    expect(healing.documents().get('port 1')?.nextAttemptSec).toBeLessThanOrEqual(30);
  });

  it('stays lost, and others are tried, when the workers refuse a change', async () => {
    healing.stop();
    let refusals = 1;
    healing = createHealing({
      find: () => missing,
      renew: async (lost) => {
        if (refusals-- > 0) throw new Error('a worker refused');
        for (const one of lost) healed(one as Loss);
        return new Map();
      },
      isPlanned: () => true,
      lost: () => {},
      healed: () => events.push('healed'),
      warn: () => {},
      now: () => clock,
    });
    missing = [lossOf(1)];
    healing.news();
    await vi.advanceTimersByTimeAsync(0);
    expect(healing.documents().get('port 1')?.error).toBe('a worker refused');
    await pass(2);
    expect(events).toEqual(['healed']);
  });
});

describe('what a worker gives up', () => {
  it('is looked at closely, and given back after a while when nothing is missing', async () => {
    healing.failed({ kind: 'port', id: 3 });
    expect(looks.at(-1)?.close).toEqual(['port 3']);
    await pass(2);
    expect(attempts).toEqual(['1: port 3']);
    expect(looks.at(-1)?.close).toEqual([]);
    // Again and again: with growing pauses.
    for (let i = 0; i < 400; i++) {
      if (attempts.length > 1 || i === 0) healing.failed({ kind: 'port', id: 3 });
      await pass(0.25);
    }
    expect(attempts.length).toBeLessThan(8);
    expect(events).toEqual([]);
  });

  it('because it is gone is had back like everything else', async () => {
    missing = [lossOf(3)];
    healing.failed({ kind: 'port', id: 3 });
    await pass(5);
    expect(attempts).toEqual(['0: port 3']);
    expect(events).toEqual(['0 lost n3', '0 healed n3 after 0']);
  });
});

it('a look that fails is said once, and does not end the looking', async () => {
  healing.stop();
  let looked = 0;
  healing = createHealing({
    find: () => {
      looked++;
      throw new Error('netlink: EMFILE');
    },
    renew: async () => new Map(),
    isPlanned: () => true,
    lost: () => {},
    healed: () => {},
    warn: (message) => events.push(message),
    now: () => clock,
  });
  await pass(5);
  expect(looked).toBe(5);
  expect(events).toEqual(['what has gone from under the node could not be looked at: netlink: EMFILE']);
});
