import { LANES } from '../packet/burst.js';
import type { Pace } from './options.js';

/**
 * When packets go, on the real clock. Everything is reckoned from the start and not from the packet before, so that no error adds up: who was
 * late catches up. Times are microseconds: of the wall from the start, of the captures from their first record.
 */
export interface Pacer {
  /** Microseconds until the next packet may go; 0 or less: now. */
  wait(nowUs: number, dueUs: number): number;
  /** Packets that may go now, at least one. */
  lanes(nowUs: number): number;
  /** Capture time up to which packets may go now. */
  until(nowUs: number): number;
  sent(packets: number, bytes: number): void;
  /** The captures begin again. */
  restart(nowUs: number): void;
}

const FOR_EVER = Number.POSITIVE_INFINITY;

const clampLanes = (n: number) => Math.max(1, Math.min(LANES, Math.floor(n)));

/** Original timing, or so many times as fast. */
function originalPacer(multiplier: number): Pacer {
  let startUs = 0;
  return {
    wait: (nowUs, dueUs) => startUs + dueUs / multiplier - nowUs,
    lanes: () => LANES,
    until: (nowUs) => (nowUs - startUs) * multiplier,
    sent() {},
    restart(nowUs) {
      startUs = nowUs;
    },
  };
}

function packetPacer(pps: number): Pacer {
  const perUs = pps / 1e6;
  let packets = 0;
  return {
    wait: (nowUs) => packets / perUs - nowUs,
    lanes: (nowUs) => clampLanes(nowUs * perUs + 1 - packets),
    until: () => FOR_EVER,
    sent(n) {
      packets += n;
    },
    restart() {},
  };
}

/** A million bits a second is a bit a microsecond. Lengths of packets to come are guessed from those that went. */
function bitPacer(mbps: number): Pacer {
  let bits = 0;
  let packets = 0;
  return {
    wait: (nowUs) => bits / mbps - nowUs,
    lanes: (nowUs) => (packets === 0 ? 1 : clampLanes(((nowUs * mbps - bits) * packets) / bits + 1)),
    until: () => FOR_EVER,
    sent(n, bytes) {
      packets += n;
      bits += bytes * 8;
    },
    restart() {},
  };
}

function topspeedPacer(): Pacer {
  return { wait: () => 0, lanes: () => LANES, until: () => FOR_EVER, sent() {}, restart() {} };
}

export function createPacer({ multiplier, pps, mbps, topspeed }: Pace): Pacer {
  if (topspeed) return topspeedPacer();
  if (pps !== undefined) return packetPacer(pps);
  if (mbps !== undefined) return bitPacer(mbps);
  return originalPacer(multiplier ?? 1);
}
