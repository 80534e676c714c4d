import { LANES } from '../packet/burst.js';
import { type CaptureInput, UNBOUNDED } from '../port/captureInput.js';
import type { CaptureGate } from '../port/pcap.js';

/** A device with an input, and how a burst of it is walked. */
export interface Source {
  input: CaptureInput;
  gate: SourceGate;
  /** Returns the packets that came in. */
  walk(): number;
}

export interface SourceGate extends CaptureGate {
  lanesMax: number;
}

export function sourceGate(): SourceGate {
  const gate: SourceGate = {
    lanesMax: LANES,
    open: () => gate.lanesMax,
    boundSeconds: UNBOUNDED,
    boundNanoseconds: 0,
  };
  return gate;
}

/** Index of the source whose record is due first, of equal ones the first; -1 when all are at their ends. */
export function earliest(sources: readonly Source[]): number {
  let best = -1;
  for (let i = 0; i < sources.length; i++) {
    const { input } = sources[i];
    if (input.peek() && (best < 0 || isBefore(input, sources[best].input))) best = i;
  }
  return best;
}

/** Lets the records of one source through that are due before the next second and before the next record of another source. */
export function setBound(sources: readonly Source[], best: number): void {
  const { gate, input } = sources[best];
  gate.boundSeconds = input.seconds + 1;
  gate.boundNanoseconds = 0;
  for (let i = 0; i < sources.length; i++) {
    const other = sources[i].input;
    if (i === best || other.isAtEnd) continue;
    // Records of the same time go in the order of the sources.
    boundBy(gate, other.seconds, other.nanoseconds + (i > best ? 1 : 0));
  }
}

/** Lets nothing through that is due then or later. */
export function boundBy(gate: CaptureGate, seconds: number, nanoseconds: number): void {
  if (seconds > gate.boundSeconds || (seconds === gate.boundSeconds && nanoseconds >= gate.boundNanoseconds)) return;
  gate.boundSeconds = seconds;
  gate.boundNanoseconds = nanoseconds;
}

function isBefore(a: CaptureInput, b: CaptureInput): boolean {
  return a.seconds < b.seconds || (a.seconds === b.seconds && a.nanoseconds < b.nanoseconds);
}
