/**
 * What came of a replay, for people.
 */
import { DROP_REASONS } from '../../packet/drop.js';
import { comparisonText, countersText } from '../../replay/comparisonText.js';
import type { ReplayReport } from '../../replay/options.js';
import { forwardsNothing, inputProblem, totals } from '../../replay/report.js';
import type { Verdict } from '../../replay/verdict.js';
import { bytes, count, duration, plural, table } from '../output.js';

export function summaryText(report: ReplayReport, verdict: Verdict | null): string {
  const parts = [
    fileLines(report),
    totalLines(report),
    dropTable(report),
    speedLine(report),
    problemLines(report),
    verdict === null ? '' : verdictText(verdict),
  ];
  return parts.filter((part) => part !== '').join('\n\n');
}

function fileLines({ inputs, outputs }: ReplayReport): string {
  const rows = [
    ...inputs.map(({ file, device, packets, bytes: size }) => [
      'in',
      name(file, 'standard input'),
      device,
      packets,
      bytes(size),
    ]),
    ...outputs.map(({ file, device, packets, bytes: size }) => [
      'out',
      name(file, 'standard output'),
      device,
      packets,
      bytes(size),
    ]),
  ];
  return table(['', 'FILE', 'DEVICE', 'PACKETS', 'BYTES'], rows);
}

function name(file: string, stream: string): string {
  return file === '-' ? stream : file;
}

/** `read 10 + copied 1 = forwarded 9 + dropped 2`: terms that are 0 stand there only where the sides need one. */
function totalLines(report: ReplayReport): string {
  const { read, received, copied, made, forwarded, consumed, held, written, unwritten } = report;
  const { dropped, addUp } = totals(report);
  const side = (first: [string, number], ...rest: [string, number][]) =>
    [first, ...rest.filter(([, n]) => n !== 0)].map(([word, n]) => `${word} ${count(n)}`).join(' + ');
  const lines = [
    `${side(['read', read], ['received', received], ['copied', copied], ['made', made])} = ${side(
      ['forwarded', forwarded],
      ['dropped', dropped],
      ['consumed', consumed],
      ['held', held],
    )}`,
    `forwarded ${count(forwarded)} = ${side(['written', written], ['unwritten', unwritten])}`,
  ];
  if (!addUp) lines.push('THESE TOTALS DO NOT ADD UP: please report this as a bug of weft');
  return lines.join('\n');
}

function dropTable({ dropped }: ReplayReport): string {
  const rows = Object.entries(dropped).filter(([, packets]) => packets > 0);
  if (rows.length === 0) return '';
  const meaning = (reason: string) => DROP_REASONS.find((drop) => drop.name === reason)?.text ?? '';
  return table(
    ['DROPPED', 'PACKETS', 'MEANING'],
    rows.map(([reason, packets]) => [reason, packets, meaning(reason)]),
  );
}

function speedLine({ flows, flowsAreMore, captureSeconds, seconds, mpps, stopped }: ReplayReport): string {
  const flowText = `${flowsAreMore ? 'more than ' : ''}${plural(flows, 'flow')}`;
  const speed = mpps >= 0.01 ? `, ${mpps.toFixed(2)} Mpps` : '';
  const end = stopped ? ' (ended early)' : '';
  return `${flowText}, ${duration(captureSeconds)} of capture in ${duration(seconds)}${speed}${end}`;
}

function problemLines(report: ReplayReport): string {
  const lines = report.inputs
    .map((input) => ({ input, problem: inputProblem(input) }))
    .filter(({ problem }) => problem !== null)
    // An error names its file.
    .map(({ input, problem }) => (input.error ? problem : `${name(input.file, 'standard input')}: ${problem}`));
  if (forwardsNothing(report)) lines.push('not one packet was forwarded');
  return lines.join('\n');
}

function verdictText({ ok, captures, counters, countersCompared }: Verdict): string {
  const parts = captures.map(comparisonText);
  if (countersCompared > 0)
    parts.push(
      counters.length === 0
        ? `${plural(countersCompared, 'counter')} as expected`
        : `${counters.length} of ${plural(countersCompared, 'counter')} not as expected\n${countersText(counters)}`,
    );
  return [...parts, `verdict: ${ok ? 'as expected' : 'NOT as expected'}`].join('\n\n');
}
