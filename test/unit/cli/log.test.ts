import { describe, expect, it } from 'vitest';
import { createLog } from '../../../src/cli/log.js';

describe('the log', () => {
  it('as text', () => {
    const lines: string[] = [];
    const log = createLog('text', (line) => lines.push(line));
    log('info', 'ready: node n', { socket: '/run/weft/n.sock', afterMs: 12, remedy: undefined });
    log('warning', 'slow', { remedy: 'do this' });
    expect(lines.map((line) => line.replace(/^\S+ /, ''))).toEqual([
      'ready: node n socket=/run/weft/n.sock afterMs=12\n',
      'warning: slow remedy="do this"\n',
    ]);
  });

  it('as JSON', () => {
    const lines: string[] = [];
    createLog('json', (line) => lines.push(line))('error', 'a "b"', { afterMs: 1 });
    expect(JSON.parse(lines[0])).toMatchObject({ level: 'error', message: 'a "b"', afterMs: 1 });
  });
});
