import { describe, expect, it } from 'vitest';
import * as Ecn from '../../../src/wire/ecn.js';
import { range } from './frames.js';

const names = { 'Not-ECT': 0, 'ECT(1)': 1, 'ECT(0)': 2, CE: 3, drop: -1 };

// Figure 4 of RFC 6040, in its own order of rows and columns
const outers = ['Not-ECT', 'ECT(0)', 'ECT(1)', 'CE'] as const;
const figure4 = {
  'Not-ECT': ['Not-ECT', 'Not-ECT', 'Not-ECT', 'drop'],
  'ECT(0)': ['ECT(0)', 'ECT(0)', 'ECT(1)', 'CE'],
  'ECT(1)': ['ECT(1)', 'ECT(1)', 'ECT(1)', 'CE'],
  CE: ['CE', 'CE', 'CE', 'CE'],
} as const;

describe('codepoints', () => {
  it('are those of RFC 3168', () => {
    expect([Ecn.NOT_ECT, Ecn.ECT_1, Ecn.ECT_0, Ecn.CE, Ecn.DROP]).toEqual([0, 1, 2, 3, -1]);
  });
});

describe('decapsulate', () => {
  it('gives what figure 4 says, whatever the DSCP bits are', () => {
    for (const [inner, row] of Object.entries(figure4) as [keyof typeof figure4, (typeof figure4)['CE']][]) {
      row.forEach((outgoing, column) => {
        const outer = outers[column];
        for (const dscp of [0, 0xb8, 0xfc]) {
          const given = Ecn.decapsulate(names[inner] | dscp, names[outer] | (0xfc ^ dscp));
          expect(given, `inner ${inner}, outer ${outer}`).toBe(names[outgoing]);
        }
      });
    }
  });
});

describe('encapsulate', () => {
  it('copies the inner codepoint', () => {
    for (const tos of range(0, 255)) expect(Ecn.encapsulate(tos)).toBe(tos & 3);
  });

  it('is undone by decapsulate when nothing happened on the way', () => {
    for (const inner of range(0, 3)) expect(Ecn.decapsulate(inner, Ecn.encapsulate(inner))).toBe(inner);
  });
});
