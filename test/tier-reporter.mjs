// A vitest reporter that leaves one tier's result as JSON at WEFT_TIER_RESULT, for test/run.mjs to add up:
// { passed, failed, skipped: [{ name, reason }], failures: [name] }
import { writeFileSync } from 'node:fs';

const NO_REASON = 'no reason given';

function isBelowFailure(test) {
  for (let parent = test.parent; parent; parent = parent.parent) {
    if (parent.errors().length > 0) return true;
  }
  return false;
}

/** The note of `ctx.skip(note)`, else what a suite's name says as "(skipped: reason)". */
function reasonOf(test) {
  const note = test.result().note ?? /\(skipped: (.*)\)/.exec(test.fullName)?.[1];
  if (note) return note;
  return isBelowFailure(test) ? 'a hook of its suite or file failed' : NO_REASON;
}

export default class TierReporter {
  onTestRunEnd(modules, unhandledErrors) {
    const result = { passed: 0, failed: 0, skipped: [], failures: [] };
    const fail = (name) => {
      result.failed++;
      result.failures.push(name);
    };
    for (const module of modules) {
      const file = module.relativeModuleId;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state === 'passed') result.passed++;
        else if (state === 'failed') fail(`${file} > ${test.fullName}`);
        else if (state === 'skipped')
          result.skipped.push({ name: `${file} > ${test.fullName}`, reason: reasonOf(test) });
        else fail(`${file} > ${test.fullName} (did not finish)`);
      }
      // A file that cannot be loaded, or a hook that fails, has no test of its own to blame.
      if (module.errors().length > 0) fail(`${file} (file)`);
      for (const suite of module.children.allSuites()) {
        if (suite.errors().length > 0) fail(`${file} > ${suite.fullName} (suite)`);
      }
    }
    for (const error of unhandledErrors) fail(`unhandled error: ${error.message}`);
    writeFileSync(process.env.WEFT_TIER_RESULT, JSON.stringify(result));
  }
}
