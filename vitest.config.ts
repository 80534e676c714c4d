import { defineConfig } from 'vitest/config';

type Tier = { name: string; testTimeoutMs: number; alone: boolean };

// `alone`: the tier makes namespaces, devices and sockets of the machine, so its files run one after the other in one process each.
const tiers: Tier[] = [
  { name: 'unit', testTimeoutMs: 30_000, alone: false },
  { name: 'golden', testTimeoutMs: 60_000, alone: false },
  { name: 'fuzz', testTimeoutMs: 60_000, alone: false },
  { name: 'native', testTimeoutMs: 60_000, alone: true },
  { name: 'interop', testTimeoutMs: 60_000, alone: true },
  { name: 'package', testTimeoutMs: 60_000, alone: true },
];

export default defineConfig({
  test: {
    projects: tiers.map(({ name, testTimeoutMs, alone }) => ({
      test: {
        name,
        include: [`test/${name}/**/*.test.ts`],
        testTimeout: testTimeoutMs,
        hookTimeout: testTimeoutMs,
        pool: 'forks',
        // A second, which is vitest's own, is short on a busy machine.
        expect: { poll: { timeout: 20_000 } },
        fileParallelism: !alone,
        ...(alone ? { maxWorkers: 1 } : {}),
      },
    })),
  },
});
