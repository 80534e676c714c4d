import { describe, expect, it } from 'vitest';
import { numberOption, UsageError, wordOption } from '../../../bench/benchmark.js';

describe('options that are numbers', () => {
  it.each([
    ['5', 1, true, 5],
    ['1', 1, true, 1],
    ['0.5', 0.1, false, 0.5],
  ])('%s is taken', (text, min, isWhole, value) => {
    expect(numberOption({ rounds: text }, 'rounds', min, isWhole)).toBe(value);
  });

  it.each(['0', '-1', '1.5', 'x', '', 'Infinity', undefined, true])('%s is refused', (value) => {
    expect(() => numberOption({ rounds: value as string }, 'rounds', 2)).toThrow(UsageError);
  });

  it('says what is wanted', () => {
    expect(() => numberOption({ rounds: 'x' }, 'rounds', 1)).toThrow(
      "--rounds is a whole number of at least 1, not 'x'",
    );
  });
});

describe('options that are words', () => {
  it('takes the words and absence, and nothing else', () => {
    expect(wordOption({ rig: 'cut' }, 'rig', ['cut', 'uncut'])).toBe('cut');
    expect(wordOption({}, 'rig', ['cut', 'uncut'])).toBeUndefined();
    expect(() => wordOption({ rig: 'both' }, 'rig', ['cut', 'uncut'])).toThrow(
      "--rig is one of cut, uncut, not 'both'",
    );
  });
});
