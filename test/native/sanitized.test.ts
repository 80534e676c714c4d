// The tests of the addon over DPDK once more, with the addon built with AddressSanitizer: what C++ reads and writes is its own.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { describeWith } from '../rig/requirements.js';
import { SANITIZED_ADDON, sanitizedEnvironment } from '../rig/sanitized.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const FILES = ['dpdk.test.ts', 'dpdkExternal.test.ts', 'dpdkThreads.test.ts'].map((name) => `test/native/${name}`);

function sanitized(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    cwd: root,
    env: sanitizedEnvironment(),
    encoding: 'utf8',
  });
  return { status, said: stdout + stderr };
}

describeWith(['dpdk', 'sanitizer'], 'the addon over DPDK with AddressSanitizer', () => {
  it('is the one that is loaded, and has the sanitizer', () => {
    const script = `require('./native/dpdk/weft_dpdk.node');
      const maps = require('node:fs').readFileSync('/proc/self/maps', 'utf8');
      console.log(maps.includes('${SANITIZED_ADDON}') && !maps.includes('native/dpdk/weft_dpdk.node') && maps.includes('libasan'))`;
    expect(sanitized('--eval', script)).toEqual({ status: 0, said: 'true\n' });
  });

  it('passes its tests without a report', { timeout: 180_000 }, () => {
    const { status, said } = sanitized('node_modules/vitest/vitest.mjs', 'run', '--project', 'native', ...FILES);
    expect(said).not.toContain('AddressSanitizer');
    expect({ status, said }).toMatchObject({ status: 0, said: expect.stringContaining(`${FILES.length} passed`) });
  });
});
