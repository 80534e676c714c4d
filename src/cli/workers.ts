import { type Command, InvalidArgumentError } from 'commander';
import type { WorkerState } from '../observe/dataplane.js';
import { print, printJson, table } from './output.js';
import { atNode, type ReadOptions, withNode } from './readVerb.js';

export function defineWorkers(program: Command): void {
  withNode(
    program
      .command('workers')
      .summary('show the worker threads of a running node, or change how many there are')
      .description(
        'Shows the worker threads of a running node, or brings it to another number of them while frames move: up to `workersMax` of the configuration that it was started with.',
      ),
  )
    .argument('[count]', 'workers that there are to be', countOf)
    .option('--json', 'print the workers as JSON')
    .addHelpText('after', '\nExamples:\n  weft workers\n  weft workers 2\n  weft workers --node left --json')
    .action((count: number | undefined, options: ReadOptions) =>
      atNode(options, async (client) => {
        const path = '/v1/workers';
        const asked = count === undefined ? client.get(path) : client.post(path, { workers: count });
        const workers = (await asked) as WorkerState[];
        if (options.json) printJson(workers);
        else print(workersText(workers));
      }),
    );
}

function countOf(text: string): number {
  if (/^[1-9]\d{0,3}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('It must be a number from 1.');
}

export function workersText(workers: WorkerState[]): string {
  const rows = workers.map(({ index, threadId, state, isSleeping, restarts, cpu, lastError }) => [
    String(index),
    String(threadId),
    state === 'running' && isSleeping ? 'asleep' : state,
    restarts,
    cpu === null ? 'any' : String(cpu),
    lastError,
  ]);
  return table(['WORKER', 'THREAD', 'STATE', 'RESTARTS', 'CPU', 'LAST ERROR'], rows);
}
