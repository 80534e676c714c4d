/**
 * Which CPU each worker runs on.
 */
import { z } from 'zod';
import { WeftError } from '../../packet/error.js';
import type { Config } from '../config/config.js';

/** CPUs that a mask of the kernel's has room for (CPU_SETSIZE). */
const CPUS_MAX = 1024;

export const PinningSchema = z
  .union([
    z.enum(['auto', 'none']),
    z
      .array(
        z
          .int()
          .min(0)
          .max(CPUS_MAX - 1),
      )
      .min(1),
  ])
  .default('none')
  .describe(
    'CPU of each worker: auto, the CPUs that weft may run on in turn; none, wherever the kernel likes; or a list, one for each worker, like [2, 3]',
  );

/** CPUs of the workers, in their order; undefined: any. `allowed`: those that this process may run on. */
export function pinsOf({ pinning, workers }: Config['node'], allowed: readonly number[]): number[] | undefined {
  if (pinning === 'none') return undefined;
  if (pinning === 'auto') return Array.from({ length: workers }, (_, w) => allowed[w % allowed.length]);
  const refused = pinning.filter((cpu) => !allowed.includes(cpu));
  if (refused.length > 0)
    throw new WeftError('CONFIG', `node.pinning: weft may not run on CPU ${refused.join(', ')}`, {
      object: 'node.pinning',
      remedy: `give CPUs of these: ${allowed.join(', ')} (\`taskset\`, cgroups and systemd's CPUAffinity= decide)`,
    });
  return pinning.slice(0, workers);
}
