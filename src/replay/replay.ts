import { WeftError } from '../packet/error.js';
import type { ReplayOptions, ReplayReport } from './options.js';

export type * from './options.js';

/**
 * Runs captures through the pipeline of a node, with files in place of its ports and underlays. Resolves also when an input is damaged or
 * cut off: the report says so. Throws a WeftError when the options do not fit each other or an output cannot be written.
 */
export async function replay(_options: ReplayOptions): Promise<ReplayReport> {
  throw new WeftError('UNAVAILABLE', 'replay is not built yet');
}
