import type { Command } from 'commander';
import type { CheckResult, Problem } from '../control/config/check.js';
import { EXIT_FAILED, fail, plural, print, printJson } from './output.js';

export function defineCheck(program: Command): void {
  program
    .command('check')
    .summary('judge a configuration file; starts nothing, needs no rights')
    .description(
      'Judges a configuration file and shows every problem at once, with its line and what to write instead.',
    )
    .argument('[file]', 'configuration (YAML or JSON), - for standard input')
    .option('--json', 'print the result as JSON')
    .option('--schema', 'print the JSON Schema of the configuration, for editors')
    .addHelpText('after', '\nExamples:\n  weft check node.yaml\n  weft check --schema > weft.schema.json')
    .action(async (file: string | undefined, options: { json?: boolean; schema?: boolean }, command: Command) => {
      if (options.schema) {
        const { configJsonSchema } = await import('../control/config/config.js');
        return printJson(configJsonSchema());
      }
      if (file === undefined) command.error('error: name a configuration file, or ask for --schema');
      try {
        const result = await checkFile(file!);
        if (result.config === null) process.exitCode = EXIT_FAILED;
        if (options.json) printJson({ file, ok: result.config !== null, problems: result.problems });
        else if (result.config === null) process.stderr.write(`${problemsText(file!, result.problems)}\n`);
        else print(okText(file!, result));
      } catch (error) {
        fail(error);
      }
    });
}

/** Reads and judges a file. Throws a WeftError when it can't be read. */
export async function checkFile(file: string): Promise<CheckResult> {
  const { readConfigFile } = await import('../control/config/configFile.js');
  return readConfigFile(file);
}

/** `file:line:column: path: message`, as compilers write it, with the remedy below. */
export function problemsText(file: string, problems: readonly Problem[]): string {
  const lines = problems.map((problem) => {
    const place = problem.line === null ? file : `${file}:${problem.line}:${problem.column}`;
    return `${place}: ${problem.path === '' ? '' : `${problem.path}: `}${problem.message}\n    ${problem.remedy}`;
  });
  return [...lines, `${file}: ${plural(problems.length, 'problem')}`].join('\n');
}

function okText(file: string, { config }: CheckResult): string {
  const { underlays, networks } = config!;
  const ports = networks.reduce((sum, network) => sum + network.ports.length, 0);
  const peers = networks.reduce((sum, network) => sum + network.peers.length, 0);
  const parts = [
    plural(underlays.length, 'underlay'),
    plural(networks.length, 'network'),
    plural(ports, 'port'),
    plural(peers, 'peer'),
  ];
  return `${file}: good (${parts.join(', ')})`;
}
