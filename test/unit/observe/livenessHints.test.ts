import { expect, it } from 'vitest';
import type { LivenessDocument, StatusDocument } from '../../../src/observe/documents.js';
import { hintsOf } from '../../../src/observe/hints.js';

const UP: LivenessDocument = {
  state: 'up',
  sinceSec: 9,
  answeredSec: 0.2,
  rttUs: 100,
  rttLeastUs: 90,
  sent: 9,
  lost: 0,
  loss: 0,
  at: null,
  refused: 0,
  blackHole: null,
};

/** What is said about a peer whose heartbeats say this. */
function hints(liveness: LivenessDocument | null): string[] {
  const peer = { address: '192.0.2.2', network: 'blue', liveness, pathMtu: null, nextHop: null };
  const none = { workers: [], ports: [], underlays: [], networks: [], slots: { total: 0, free: 0, held: 0 } };
  const status = { ...none, peers: [peer] } as unknown as StatusDocument;
  return hintsOf(status, { total: 0, missed: 0, reasons: [] }).map((h) => `${h.object}: ${h.message}; ${h.remedy}`);
}

it('a peer that answers, or may yet, is no matter', () => {
  for (const liveness of [null, UP, { ...UP, state: 'unknown' as const, answeredSec: null }])
    expect(hints(liveness)).toEqual([]);
});

it('a peer that is down is one, also one that never answered', () => {
  const down = { ...UP, state: 'down' as const };
  expect(hints({ ...down, answeredSec: 12.4 })).toEqual([
    expect.stringMatching(/^peer 192\.0\.2\.2: has not answered heartbeats of network blue for 12 s; .*goes on/),
  ]);
  expect(hints({ ...down, answeredSec: null })).toEqual([
    expect.stringMatching(/has never answered a heartbeat of network blue; .*`heartbeat` at both nodes/),
  ]);
});

it('so is another key', () => {
  expect(hints({ ...UP, refused: 3 })).toEqual([
    expect.stringMatching(/3 heartbeats .* another key; .*same id and key/),
  ]);
});
