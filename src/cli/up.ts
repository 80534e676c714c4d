import type { Command } from 'commander';
import type { Node } from '../control/node.js';
import { checkFile, problemsText } from './check.js';
import { createLog, type Log, type LogFormat } from './log.js';
import { EXIT_FAILED, endpointText, errorText, fail, plural } from './output.js';

interface UpOptions {
  log: LogFormat;
}

export function defineUp(program: Command): void {
  program
    .command('up')
    .summary('run a node in the foreground until SIGTERM or Ctrl-C')
    .description('Runs a node in the foreground. Prints a line with `ready` when frames move, then what happens to it.')
    .argument('<file>', 'configuration (YAML or JSON), - for standard input')
    .option('--log <format>', 'text or json', 'text')
    .addHelpText(
      'after',
      '\nSIGTERM, SIGINT and SIGHUP drain the workers and remove what the node created; a second signal ends it at once.\n\nExamples:\n  weft up node.yaml\n  weft up --log json node.yaml',
    )
    .action(async (file: string, options: UpOptions, command: Command) => {
      if (options.log !== 'text' && options.log !== 'json')
        command.error(`error: --log is text or json, not '${options.log}'`);
      try {
        await up(file, options.log);
      } catch (error) {
        fail(error);
      }
    });
}

async function up(file: string, format: LogFormat): Promise<void> {
  const log = createLog(format);
  const startedAt = performance.now();
  // A node outlives whoever reads its log.
  process.stdout.removeAllListeners('error').on('error', () => {});
  const { config, problems } = await checkFile(file);
  if (config === null) {
    process.stderr.write(`${problemsText(file, problems)}\n`);
    process.exitCode = EXIT_FAILED;
    return;
  }
  const { createNode } = await import('../control/node.js');
  const node = createNode(config);
  report(node, log);
  const ended = stopOnSignal(node, log);
  try {
    await node.start();
  } catch (error) {
    if (format === 'json') log('error', `not started: ${errorText(error)}`);
    fail(error);
    process.exit();
  }
  const { name, socket } = node;
  log('info', `ready: node ${name}`, {
    socket: socket ?? undefined,
    afterMs: Math.round(performance.now() - startedAt),
  });
  sayPaths(node, log);
  await ended;
}

/** Every way that is not the fast one, with its reason. After the ready line: a whole status takes a while. */
function sayPaths(node: Node, log: Log): void {
  const { ports, peers, underlays } = node.status();
  log('info', `${plural(ports.length, 'port')}, ${plural(peers.length, 'peer')}`);
  for (const [kind, list] of [
    ['port', ports],
    ['underlay', underlays],
  ] as const)
    for (const { name, path } of list)
      for (const { reason, remedy } of path.reasons)
        log('warning', `${kind} ${name}: ${reason}`, { remedy: remedy ?? undefined });
}

function report(node: Node, log: Log): void {
  node.on('port-added', (port) => log('info', `port ${port.name} added to network ${port.network}`));
  node.on('port-removed', (name) => log('info', `port ${name} removed`));
  node.on('peer-added', (peer) => log('info', `peer ${peer.address} added to network ${peer.network}`));
  node.on('peer-removed', (peer) => log('info', `peer ${peer.address} removed from network ${peer.network}`));
  const named = ({ network, address }: { network: string; address: string }) => `peer ${address} of network ${network}`;
  node.on('peer-up', (peer) => log('info', `${named(peer)} answers`));
  node.on('peer-down', (peer) => log('warning', `${named(peer)} does not answer`));
  node.on('peer-moved', ({ to, ...peer }) => log('info', `${named(peer)} is at ${endpointText(to)} now`));
  node.on('worker-lost', ({ index, message, packetsLost }) =>
    log('error', `worker ${index} died: ${message}`, { packetsLost }),
  );
  node.on('worker-replaced', ({ index, afterMs }) =>
    log('info', `worker ${index} replaced`, { afterMs: Math.round(afterMs) }),
  );
  node.on('warning', (message) => log('warning', message));
}

/** Resolves when the node was stopped by a signal. The second signal ends the process where it stands; its devices go with it. */
function stopOnSignal(node: Node, log: Log): Promise<void> {
  let isStopping = false;
  return new Promise((resolve) => {
    const onSignal = (signal: NodeJS.Signals) => {
      if (isStopping) {
        log('warning', `${signal} again: ending at once`);
        process.exit(EXIT_FAILED);
      }
      isStopping = true;
      log('info', `${signal}: stopping`);
      node.stop().then(
        () => {
          log('info', 'stopped');
          resolve();
        },
        (error) => {
          fail(error);
          resolve();
        },
      );
    };
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, onSignal);
  });
}
