/**
 * What the verbs that ask a running node have in common: which node, and text or JSON.
 */
import type { Command } from 'commander';
import type { NodeClient } from '../control/api/client.js';
import { EXIT_USAGE, fail, print, printJson } from './output.js';

export interface NodeOptions {
  node?: string;
  socket?: string;
}

export interface ReadOptions extends NodeOptions {
  json?: boolean;
}

/** Adds the options that choose a node. */
export function withNode(command: Command): Command {
  return command
    .option('--node <name>', 'name of the node (default: the only one that runs on this host)')
    .option('--socket <path>', 'path of its control socket');
}

/** Connects to the chosen node and runs a step with it; a failure ends the command with its exit code. */
export async function atNode(options: NodeOptions, step: (client: NodeClient) => Promise<void>): Promise<void> {
  const { connectNode } = await import('../control/api/client.js');
  let client: NodeClient;
  try {
    client = await connectNode(options);
  } catch (error) {
    // Several nodes and no choice among them is wrong usage; what the node itself refuses is a failure.
    return fail(error, (error as { code?: string }).code === 'USAGE' ? EXIT_USAGE : undefined);
  }
  try {
    await step(client);
  } catch (error) {
    fail(error);
  }
}

/** Defines a verb that shows one document of the API. */
export function defineRead<T>(
  program: Command,
  verb: { name: string; path: string; summary: string; help: string; text: (document: T) => string },
): Command {
  return withNode(program.command(verb.name).summary(verb.summary).description(verb.summary))
    .option('--json', 'print the document as JSON')
    .addHelpText('after', `\n${verb.help}`)
    .action((options: ReadOptions) =>
      atNode(options, async (client) => {
        const document = await client.get<T>(verb.path);
        if (options.json) printJson(document);
        else print(verb.text(document));
      }),
    );
}
