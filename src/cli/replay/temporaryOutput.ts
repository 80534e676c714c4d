/**
 * A place for output that is only compared.
 */
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';

export interface TemporaryOutput {
  /** What it says in place of the user's. */
  readonly options: { out?: string; outDir?: string };
  remove(): Promise<void>;
}

/** A file of the expected one's name, or a folder where that is one. Nothing when nothing is expected. */
export async function temporaryOutput(expected: string | undefined): Promise<TemporaryOutput> {
  if (expected === undefined) return { options: {}, remove: async () => {} };
  const folder = await mkdtemp(join(tmpdir(), 'weft-replay-'));
  const isFolder = (await stat(expected).catch(() => null))?.isDirectory() ?? false;
  return {
    options: isFolder ? { outDir: folder } : { out: join(folder, basename(expected)) },
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}
