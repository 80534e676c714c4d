// Node with the addon over DPDK built with AddressSanitizer: in the environment of a child process, or not at all.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const path = (below: string) => fileURLToPath(new URL(`../../${below}`, import.meta.url));

export const SANITIZED_ADDON = path('native/dpdk/build-address/weft_dpdk.node');

/** Exit status of a process that the sanitizer has ended. */
export const SANITIZER_STATUS = 99;

/** Of AddressSanitizer; the bare name where there is none. */
const library = () => String(spawnSync('g++', ['-print-file-name=libasan.so']).stdout ?? '').trim();

export const canSanitize = () => existsSync(SANITIZED_ADDON) && existsSync(library());

/**
 * The environment that a child node needs. Leaks are not looked for: V8 keeps what it has until the end. Slots and buffers are counted by
 * DPDK's pools instead.
 */
export function sanitizedEnvironment(): NodeJS.ProcessEnv {
  return {
    ...process.env,
    LD_PRELOAD: library(),
    ASAN_OPTIONS: `detect_leaks=0:exitcode=${SANITIZER_STATUS}`,
    WEFT_SANITIZED_ADDON: SANITIZED_ADDON,
    NODE_OPTIONS: `--require ${path('test/rig/sanitizedAddon.cjs')}`,
  };
}
