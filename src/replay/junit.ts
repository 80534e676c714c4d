/**
 * A replay as JUnit XML, which CI servers show: one suite, and a case for each thing that was looked at.
 */
import { comparisonText, countersText } from './comparisonText.js';
import type { ReplayReport } from './options.js';
import { inputProblem, totals } from './report.js';
import type { Verdict } from './verdict.js';

interface Case {
  name: string;
  /** Null when it passed. */
  failure: string | null;
}

export function junitXml(report: ReplayReport, verdict: Verdict | null, name: string): string {
  const cases = casesOf(report, verdict);
  const failures = cases.filter(({ failure }) => failure !== null).length;
  const counts = `tests="${cases.length}" failures="${failures}" errors="0" skipped="0"`;
  const time = report.seconds.toFixed(3);
  const lines = cases.map(({ name, failure }, i) => {
    // The replay's time is that of the first case: the others only look at what came of it.
    const head = `    <testcase classname="weft.replay" name="${xmlText(name)}" time="${i === 0 ? time : '0.000'}"`;
    if (failure === null) return `${head}/>`;
    const message = xmlText(failure.split('\n')[0]);
    return `${head}>\n      <failure message="${message}">${xmlText(failure)}</failure>\n    </testcase>`;
  });
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites name="weft replay" ${counts} time="${time}">`,
    `  <testsuite name="${xmlText(name)}" ${counts} time="${time}">`,
    ...lines,
    '  </testsuite>',
    '</testsuites>',
    '',
  ].join('\n');
}

function casesOf(report: ReplayReport, verdict: Verdict | null): Case[] {
  const { came, went, addUp } = totals(report);
  const sums = `${came} packets came, ${went} went; ${report.forwarded} forwarded, ${report.written} written`;
  const cases: Case[] = report.inputs.map((input) => ({
    name: `input ${input.file} is whole`,
    failure: inputProblem(input),
  }));
  cases.push({ name: 'totals add up', failure: addUp ? null : `the totals do not add up: ${sums}` });
  for (const comparison of verdict?.captures ?? [])
    cases.push({
      name: `packets are those of ${comparison.expected.file}`,
      failure: comparison.ok ? null : comparisonText(comparison),
    });
  if (verdict !== null && verdict.countersCompared > 0) {
    const { counters, countersCompared } = verdict;
    const text = `${counters.length} of ${countersCompared} counters differ\n${countersText(counters)}`;
    cases.push({ name: 'counters are as expected', failure: counters.length === 0 ? null : text });
  }
  return cases;
}

/** Text for XML 1.0, which has no place for most control characters. */
function xmlText(text: string): string {
  return (
    text
      // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the ones to be replaced
      .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ud800-\udfff\ufffe\uffff]/gu, '?')
      .replace(/&/g, '&amp;')
      .replace(/</g, '&lt;')
      .replace(/>/g, '&gt;')
      .replace(/"/g, '&quot;')
  );
}
