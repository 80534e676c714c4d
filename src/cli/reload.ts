import type { Command } from 'commander';
import { valueText } from '../control/config/text.js';
import type { ChangeDocument, ReloadDocument } from '../observe/documents.js';
import { checkFile, problemsText } from './check.js';
import { EXIT_FAILED, fail, plural, print, printJson, table } from './output.js';
import { atNode, type ReadOptions, withNode } from './readVerb.js';

interface ReloadOptions extends ReadOptions {
  config?: string;
  dryRun?: boolean;
}

export function defineReload(program: Command): void {
  withNode(
    program
      .command('reload')
      .summary('apply a changed configuration to a running node')
      .description(
        'Applies a changed configuration to a running node, all or nothing. Only what differs is touched. What was added by `weft port add` and the like and is not in the file is removed.',
      ),
  )
    .option('--config <file>', 'configuration (default: the file that the node was started with)')
    .option('--dry-run', 'show what would change, and what needs a restart')
    .option('--json', 'print the changes as JSON')
    .addHelpText(
      'after',
      '\nSIGHUP to `weft up` does the same with the file that it was started with.\n\nExamples:\n  weft reload --dry-run\n  weft reload\n  weft reload --config new.yaml --node left',
    )
    .action(async (options: ReloadOptions) => {
      const config = await configOf(options);
      if (config === null) return;
      await atNode(options, async (client) => {
        const request = { ...(config === undefined ? {} : { config }), dryRun: options.dryRun === true };
        const document = await client.post<ReloadDocument>('/v1/reload', request);
        if (options.json) printJson(document);
        else print(reloadText(document));
        if (document.restart.length > 0) process.exitCode = EXIT_FAILED;
      });
    });
}

/** The configuration of the named file; undefined without one, null when it is wrong and that has been said. */
async function configOf({ config: file }: ReloadOptions): Promise<object | undefined | null> {
  if (file === undefined) return undefined;
  try {
    const { config, problems } = await checkFile(file);
    if (config !== null) return config;
    process.stderr.write(`${problemsText(file, problems)}\n`);
    process.exitCode = EXIT_FAILED;
  } catch (error) {
    fail(error);
  }
  return null;
}

export function reloadText({ applied, changes, restart }: ReloadDocument): string {
  const refused = restart.map(
    ({ setting, from, to, why }) => `  ${setting}: ${valueText(from)} -> ${valueText(to)} (${why})`,
  );
  const needs = refused.length > 0 ? ['', 'needs a restart, so a reload would be refused:', ...refused] : [];
  if (changes.length === 0) return ['nothing changed', ...needs].join('\n');
  const rows = changes.map((change) => [
    change.action,
    change.kind,
    change.name,
    change.network,
    change.settings.map(({ name, from, to }) => `${name} ${valueText(from)} -> ${valueText(to)}`).join(', ') || null,
    effectText(change),
  ]);
  const what = `${plural(changes.length, 'change')}${applied ? '' : ', none applied (dry run)'}`;
  return [table(['', 'WHAT', 'NAME', 'NETWORK', 'SETTINGS', 'EFFECT'], rows), what, ...needs].join('\n');
}

function effectText({ effect }: ChangeDocument): string | null {
  if (effect === null) return null;
  return effect === 'reopened' ? 'sockets opened anew' : 'device made anew';
}
