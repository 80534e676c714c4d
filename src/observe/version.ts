import { readFileSync } from 'node:fs';

let version: string | undefined;

/** Version of this package. package.json lies two folders up from src/observe and from dist/observe. */
export function packageVersion(): string {
  version ??= (JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string })
    .version;
  return version;
}
