import { LANES } from '../packet/burst.js';
import type { CaptureInput } from '../port/captureInput.js';
import { UNBOUNDED } from '../port/captureInput.js';
import type { CaptureGate } from '../port/pcap.js';
import type { VirtualClock } from './virtualClock.js';

/** A device with an input, and how a burst of it is walked. */
export interface VirtualSource {
  input: CaptureInput;
  gate: VirtualGate;
  walk(): number;
}

export interface VirtualGate extends CaptureGate {
  lanesMax: number;
}

export function virtualGate(): VirtualGate {
  const gate: VirtualGate = {
    lanesMax: LANES,
    open: () => gate.lanesMax,
    boundSeconds: UNBOUNDED,
    boundNanoseconds: 0,
  };
  return gate;
}

export interface VirtualLimits {
  /** Packets; 0: no limit. */
  packets: number;
  /** Seconds of the captures; 0: no limit. */
  seconds: number;
}

export interface VirtualEnd {
  stopped: boolean;
  firstSeconds: number;
  firstNanoseconds: number;
  lastSeconds: number;
  lastNanoseconds: number;
}

/**
 * Walks all inputs to their ends in the order of their timestamps, equal ones in the order of the inputs. A burst is of one input, ends before
 * the next record of another, and lies within one second: where bursts begin and end is decided by the captures alone.
 */
export function runVirtual(
  sources: readonly VirtualSource[],
  clock: VirtualClock,
  limits: VirtualLimits,
  shouldStop: (packets: number) => boolean,
): VirtualEnd {
  const end: VirtualEnd = { stopped: false, firstSeconds: -1, firstNanoseconds: 0, lastSeconds: 0, lastNanoseconds: 0 };
  let packets = 0;

  /** Index of the input whose record is due first; -1 when all are at their ends. */
  function earliest(): number {
    let best = -1;
    for (let i = 0; i < sources.length; i++) {
      const { input } = sources[i];
      if (input.peek() && (best < 0 || isBefore(input, sources[best].input))) best = i;
    }
    return best;
  }

  /** The earliest of: the next second, the next record of another input, the end of the duration. */
  function setBound(best: number): void {
    const { gate, input } = sources[best];
    gate.boundSeconds = input.seconds + 1;
    gate.boundNanoseconds = 0;
    for (let i = 0; i < sources.length; i++) {
      const other = sources[i].input;
      if (i === best || other.isAtEnd) continue;
      // Records of the same time go in the order of the inputs.
      limit(gate, other.seconds, other.nanoseconds + (i > best ? 1 : 0));
    }
    if (limits.seconds > 0) {
      const nanoseconds = end.firstNanoseconds + Math.round((limits.seconds % 1) * 1e9);
      const carry = Math.floor(nanoseconds / 1e9);
      limit(gate, end.firstSeconds + Math.floor(limits.seconds) + carry, nanoseconds - carry * 1e9);
    }
    gate.lanesMax = limits.packets > 0 ? Math.min(LANES, limits.packets - packets) : LANES;
  }

  for (let best = earliest(); best >= 0; best = earliest()) {
    const { input, walk } = sources[best];
    if (end.firstSeconds < 0) {
      end.firstSeconds = input.seconds;
      end.firstNanoseconds = input.nanoseconds;
    }
    setBound(best);
    clock.advance(input.seconds, input.nanoseconds);
    const n = shouldStop(packets) ? 0 : walk();
    if (n <= 0) {
      end.stopped = true;
      break;
    }
    packets += n;
    end.lastSeconds = input.seconds;
    end.lastNanoseconds = input.nanoseconds;
  }
  return end;
}

function isBefore(a: CaptureInput, b: CaptureInput): boolean {
  return a.seconds < b.seconds || (a.seconds === b.seconds && a.nanoseconds < b.nanoseconds);
}

function limit(gate: CaptureGate, seconds: number, nanoseconds: number): void {
  if (seconds > gate.boundSeconds || (seconds === gate.boundSeconds && nanoseconds >= gate.boundNanoseconds)) return;
  gate.boundSeconds = seconds;
  gate.boundNanoseconds = nanoseconds;
}
