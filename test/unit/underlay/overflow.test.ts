import { expect, it } from 'vitest';
import { OVERFLOW_WORDS } from '../../../src/packet/outbox.js';
import { overflowAt } from '../../../src/underlay/overflow.js';

it('keeps the count of a descriptor, and begins anew with another one', () => {
  const words = new Int32Array(OVERFLOW_WORDS);
  const at = overflowAt(words, 63, 1, 20);
  words[at] = 99;
  expect(overflowAt(words, 63, 1, 20)).toBe(at);
  expect(words[at]).toBe(99);
  expect(overflowAt(words, 63, 0, 20)).not.toBe(at);
  overflowAt(words, 63, 1, 21);
  expect(words[at]).toBe(0);
});
