/**
 * The configuration file.
 */
import { readFileSync, statSync } from 'node:fs';
import { WeftError } from '../../packet/error.js';
import { type CheckResult, CONFIG_BYTES_MAX, checkText } from './check.js';

/** Reads and judges a file, `-` for standard input. Throws a WeftError when it can't be read. */
export function readConfigFile(file: string): CheckResult {
  try {
    const path = file === '-' ? 0 : file;
    if (path !== 0 && statSync(path).size > CONFIG_BYTES_MAX) throw new Error(`larger than ${CONFIG_BYTES_MAX} bytes`);
    return checkText(readFileSync(path, 'utf8'));
  } catch (error) {
    const message = (error as Error).message.replace(/, (open|stat|read).*$/, '');
    throw new WeftError('CONFIG', `${file} cannot be read: ${message}`, { object: file, cause: error });
  }
}
