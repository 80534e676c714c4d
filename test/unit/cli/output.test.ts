import { describe, expect, it } from 'vitest';
import { age, bytes, duration, endpointText, errorText, exitCodeOf, table } from '../../../src/cli/output.js';
import { WeftError } from '../../../src/packet/error.js';

describe('a table', () => {
  it('is aligned: numbers to the right with separators, text to the left, nothing as a dash', () => {
    const rows = [
      ['web', 12345, '42', null],
      ['database', 7, '16777215', 'EPERM'],
    ];
    expect(table(['PORT', 'SENT', 'VNI', 'ERROR'], rows)).toBe(
      ['PORT        SENT       VNI  ERROR', 'web       12,345        42  -', 'database       7  16777215  EPERM'].join(
        '\n',
      ),
    );
  });

  it('may be empty', () => expect(table(['A', 'B'], [])).toBe('A  B'));
});

describe('times and sizes', () => {
  it.each([
    [0, '0.0 s'],
    [2.14, '2.1 s'],
    [9.99, '10.0 s'],
    [42.9, '42 s'],
    [60, '1 min'],
    [185, '3 min 5 s'],
    [3600, '1 h'],
    [7805, '2 h 10 min'],
    [86400 * 4 + 3700, '4 d 1 h'],
    [86400 + 59, '1 d'],
  ])('%d s is %s', (seconds, text) => expect(duration(seconds)).toBe(text));

  it('an age may be never', () => expect([age(null), age(2)]).toEqual(['never', '2.0 s ago']));

  it.each([
    [0, '0 B'],
    [999, '999 B'],
    [1000, '1.0 kB'],
    [1499, '1.5 kB'],
    [999_600, '1.0 MB'],
    [123_456_789, '123 MB'],
    [9e15, '9.0 PB'],
  ])('%d bytes are %s', (n, text) => expect(bytes(n)).toBe(text));
});

describe('an error', () => {
  it('shows its remedy and has the exit code of its kind', () => {
    expect(errorText(new WeftError('DEVICE', 'port p: gone', { remedy: 'add it' }))).toBe('port p: gone\n  add it');
    expect(exitCodeOf(new WeftError('NODE_UNREACHABLE', 'x'))).toBe(3);
    expect(exitCodeOf(new WeftError('CONFIG', 'x'))).toBe(2);
    expect(exitCodeOf(new Error('x'))).toBe(2);
  });
});

describe('an endpoint', () => {
  it.each([
    ['192.0.2.2', 4789, '192.0.2.2:4789'],
    ['2001:db8::2', 4789, '[2001:db8::2]:4789'],
    ['192.0.2.2', 0, '192.0.2.2'],
    ['2001:db8::2', 0, '2001:db8::2'],
  ])('%s port %d', (address, udpPort, text) => expect(endpointText({ address, udpPort })).toBe(text));
});
