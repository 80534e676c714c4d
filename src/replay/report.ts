/**
 * What a report means: whether its totals add up, and what came of the replay as a whole.
 */
import type { InputReport, ReplayReport } from './options.js';
import type { Verdict } from './verdict.js';

/**
 * good: everything was replayed, and is as expected. incomplete: an input is cut off, or has packets that are; the rest was replayed.
 * failed: an input is damaged, the totals do not add up, something is not as expected, or, where nothing was said to be expected, not one
 * packet went through.
 */
export type Outcome = 'good' | 'incomplete' | 'failed';

export interface Totals {
  /** read + received + copied + made */
  came: number;
  /** forwarded + dropped + consumed + held */
  went: number;
  dropped: number;
  addUp: boolean;
}

export function totals(report: ReplayReport): Totals {
  const dropped = Object.values(report.dropped).reduce((sum, packets) => sum + packets, 0);
  const came = report.read + report.received + report.copied + report.made;
  const went = report.forwarded + dropped + report.consumed + report.held;
  const read = report.inputs.reduce((sum, input) => sum + input.packets, 0);
  const written = report.outputs.reduce((sum, output) => sum + output.packets, 0);
  const addUp =
    came === went &&
    report.forwarded === report.written + report.unwritten &&
    report.read === read &&
    report.written === written;
  return { came, went, dropped, addUp };
}

/** What is wrong with an input; null when it is whole. */
export function inputProblem({ error, truncated, cut, packets, format }: InputReport): string | null {
  if (error !== null) return error;
  const parts: string[] = [];
  if (truncated && format === 'unknown') parts.push('the file ends inside of its header');
  else if (truncated) parts.push(`the file ends inside of a packet, after ${packets} whole ones`);
  if (cut > 0) parts.push(`${cut} of ${packets} packets are cut off by the capture`);
  return parts.length === 0 ? null : parts.join('; ');
}

/** A replay that only drops is rarely meant. */
export function forwardsNothing({ read, forwarded, consumed }: ReplayReport): boolean {
  return read > 0 && forwarded === 0 && consumed === 0;
}

export function outcome(report: ReplayReport, verdict: Verdict | null): Outcome {
  if (verdict?.ok === false || !totals(report).addUp) return 'failed';
  if (report.inputs.some((input) => input.error !== null)) return 'failed';
  if (verdict === null && forwardsNothing(report)) return 'failed';
  return report.inputs.some((input) => inputProblem(input) !== null) ? 'incomplete' : 'good';
}
