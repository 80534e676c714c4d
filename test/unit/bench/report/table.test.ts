import { describe, expect, it } from 'vitest';
import { cell, renderTable } from '../../../../bench/report/table.js';

describe('cell', () => {
  it('says median and half the distance of the quartiles', () => {
    // quartiles 9 and 11 around 10: +-10 %
    expect(cell([8, 9, 10, 11, 12])).toBe('10.0 ±10%');
    expect(cell([8, 9, 10, 11, 12], 0)).toBe('10 ±10%');
  });

  it('says no spread of two samples, and nothing of none', () => {
    expect(cell([1, 2], 2)).toBe('1.50');
    expect(cell([])).toBe('-');
    expect(cell([Number.NaN, Number.NaN])).toBe('-');
  });

  it('does not divide by a median of zero', () => {
    expect(cell([0, 0, 0])).toBe('0.0');
  });
});

describe('renderTable', () => {
  it('aligns names to the left and figures to the right', () => {
    const text = renderTable({
      title: 'encap',
      columns: ['ns', '64 B', '1400 B'],
      rows: [
        ['rx', '3.7', '4.1'],
        ['total', '48.0', '120.0'],
      ],
    });
    expect(text.split('\n')).toEqual([
      'encap',
      '',
      'ns     64 B  1400 B',
      '-----  ----  ------',
      'rx      3.7     4.1',
      'total  48.0   120.0',
    ]);
  });

  it('lets a heading run over the columns', () => {
    const rows = [['a heading that is longer than any cell'], ['x', '1']];
    const lines = renderTable({ title: 't', columns: ['a', 'b'], rows }).split('\n');
    expect(lines.slice(2)).toEqual(['a  b', '-  -', 'a heading that is longer than any cell', 'x  1']);
  });
});
