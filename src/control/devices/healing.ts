/**
 * Has back what was lost under a running node: devices that others delete, namespaces that go and come, addresses that move. Whatever hints at a
 * loss makes it look; what is lost is opened anew, at once when something has changed there, and else with growing pauses.
 */
import type { LossDocument } from '../../observe/documents.js';
import { WeftError } from '../../packet/error.js';
import { type Entity, entityKey, type Loss } from './devices.js';

const FIRST_PAUSE_SEC = 1;
const LONGEST_PAUSE_SEC = 30;
/** Between two looks at what costs next to nothing, and at what is lost. */
const LOOK_MS = 1000;
/** Between two looks at everything: for what nobody tells of. */
const WHOLE_LOOK_SEC = 30;

export interface Healing {
  /** Something has changed in the network of the host. */
  news(): void;
  /** A worker cannot read something any more. */
  failed(entity: Entity): void;
  /** What is lost now, by `entityKey`. */
  documents(): Map<string, LossDocument>;
  stop(): void;
}

export interface HealingSurroundings {
  /** What is missing now, of what is looked at closely. */
  find(isClose: (entity: Entity) => boolean, isNews: boolean): Loss[];
  /** Opens anew what was lost; resolves with the errors of what could not be, by `entityKey`. */
  renew(lost: readonly Entity[]): Promise<Map<string, Error>>;
  isPlanned(entity: Entity): boolean;
  lost(loss: Loss): void;
  healed(loss: Loss, afterSec: number): void;
  warn(message: string): void;
  /** Monotonic seconds. */
  now(): number;
}

/** A loss and what was done about it. */
interface Case {
  loss: Loss;
  since: number;
  attempts: number;
  nextAt: number;
  /** The scene of the last attempt. */
  tried: string | null;
  error: Error | null;
}

/** What a worker has given up, and nothing is missing: it is given back later. */
interface Refusal {
  entity: Entity;
  attempts: number;
  isOpen: boolean;
  nextAt: number;
}

const pauseAfter = (attempts: number) => Math.min(LONGEST_PAUSE_SEC, FIRST_PAUSE_SEC * 2 ** Math.max(0, attempts - 1));

export function createHealing({ find, renew, isPlanned, lost, healed, warn, now }: HealingSurroundings): Healing {
  const cases = new Map<string, Case>();
  const refusals = new Map<string, Refusal>();
  let wholeLookAt = now() + WHOLE_LOOK_SEC;
  let isTrying = false;
  let isStopped = false;
  let warned = '';

  function losses(isNews: boolean): Loss[] | null {
    const isWhole = now() >= wholeLookAt;
    if (isWhole) wholeLookAt = now() + WHOLE_LOOK_SEC;
    const isClose = (entity: Entity) => {
      const key = entityKey(entity);
      return isWhole || cases.has(key) || refusals.get(key)?.isOpen === true;
    };
    try {
      return find(isClose, isNews || isWhole);
    } catch (error) {
      const { message } = error as Error;
      if (message !== warned) warn(`what has gone from under the node could not be looked at: ${message}`);
      warned = message;
      return null;
    }
  }

  function look(isNews: boolean): void {
    if (isStopped) return;
    const found = losses(isNews);
    if (found === null) return;
    const keys = new Set(found.map(entityKey));
    for (const loss of found) meet(loss);
    for (const [key, { loss, since }] of [...cases]) {
      if (keys.has(key)) continue;
      cases.delete(key);
      if (isPlanned(loss)) healed(loss, now() - since);
    }
    const isDue = ({ loss, tried, nextAt }: Case) => !loss.waits && (tried !== loss.scene || now() >= nextAt);
    const due = [...cases.values()].filter(isDue);
    const refused = [...refusals.values()].filter(({ isOpen, nextAt }) => isOpen && now() >= nextAt);
    if (!isTrying && due.length + refused.length > 0) void attempt(due, refused);
  }

  function meet(loss: Loss): void {
    const key = entityKey(loss);
    refusals.delete(key);
    const known = cases.get(key);
    if (known !== undefined) {
      known.loss = loss;
      return;
    }
    cases.set(key, { loss, since: now(), attempts: 0, nextAt: now(), tried: null, error: null });
    lost(loss);
  }

  async function attempt(due: readonly Case[], refused: readonly Refusal[]): Promise<void> {
    isTrying = true;
    for (const one of due) {
      one.tried = one.loss.scene;
      one.attempts++;
    }
    for (const one of refused) {
      one.isOpen = false;
      one.attempts++;
    }
    let failed: Map<string, Error>;
    try {
      failed = await renew([...due.map(({ loss }) => loss), ...refused.map(({ entity }) => entity)]);
    } catch (error) {
      failed = new Map(due.map(({ loss }) => [entityKey(loss), error as Error]));
    }
    for (const one of due) {
      one.error = failed.get(entityKey(one.loss)) ?? null;
      one.nextAt = now() + pauseAfter(one.attempts);
      // What the workers said of the one before.
      refusals.delete(entityKey(one.loss));
    }
    isTrying = false;
    if (due.length > 0) look(false);
  }

  const timer = setInterval(() => look(false), LOOK_MS).unref();
  return {
    news: () => look(true),
    failed(entity) {
      const { attempts } = refusals.get(entityKey(entity)) ?? { attempts: 0 };
      refusals.set(entityKey(entity), { entity, attempts, isOpen: true, nextAt: now() + pauseAfter(attempts + 1) });
      look(false);
    },
    documents: () =>
      new Map(
        [...cases].map(([key, { loss, since, attempts, nextAt, error }]) => [
          key,
          {
            what: loss.what,
            message: loss.message,
            sinceSec: now() - since,
            attempts,
            nextAttemptSec: loss.waits ? 0 : Math.max(0, nextAt - now()),
            error: error?.message ?? null,
            remedy: (error instanceof WeftError && error.remedy) || loss.remedy,
          },
        ]),
      ),
    stop() {
      isStopped = true;
      clearInterval(timer);
    },
  };
}
