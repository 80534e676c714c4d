import { closeSync, openSync } from 'node:fs';
import type { Command } from 'commander';
import { valueText } from '../control/config/text.js';
import type { Node } from '../control/node.js';
import type { ServiceManager } from '../control/serviceManager.js';
import type { ChangeDocument } from '../observe/documents.js';
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
      '\nSIGTERM and SIGINT drain the workers and remove what the node created; a second one ends it at once. SIGHUP reads the file again and\napplies what has changed, like `weft reload`; when the terminal is gone it stops the node.\n\nUnder systemd (Type=notify) the node says when it is ready, reloads and stops, and feeds the watchdog while every worker turns.\n\nExamples:\n  weft up node.yaml\n  weft up --log json node.yaml',
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
  const node = createNode(config, file === '-' ? {} : { file });
  report(node, log);
  const manager = await notifyManager(node, log);
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
  manager.ready(statusLine(node));
  sayPaths(node, log);
  await ended;
}

/** Tells a service manager, where there is one, what the node does. */
async function notifyManager(node: Node, log: Log): Promise<ServiceManager> {
  const { createServiceManager } = await import('../control/serviceManager.js');
  const { tun } = await import('../native/tun.js');
  const manager = createServiceManager({
    env: process.env,
    pid: process.pid,
    send: (notice) => tun().sdNotify(notice),
    now: () => Number(process.hrtime.bigint()) / 1e6,
    workers: () => node.workers(),
    warn: (message) => log('warning', message),
  });
  const tell = () => manager.status(statusLine(node));
  for (const event of ['port-added', 'port-removed', 'peer-added', 'peer-removed'] as const) node.on(event, tell);
  for (const event of ['network-added', 'network-removed'] as const) node.on(event, tell);
  node.on('reloading', () => manager.reloading());
  for (const event of ['reloaded', 'reload-failed'] as const) node.on(event, () => manager.ready(statusLine(node)));
  node.on('state', (state) => state === 'stopping' && manager.stopping());
  return manager;
}

/** `2 networks, 3 ports, 1 peer` */
function statusLine(node: Node): string {
  const { networks } = node.config;
  const ports = networks.flatMap((network) => network.ports).length;
  const peers = networks.flatMap((network) => network.peers).length;
  return `${plural(networks.length, 'network')}, ${plural(ports, 'port')}, ${plural(peers, 'peer')}`;
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
  node.on('network-added', ({ name }) => log('info', `network ${name} added`));
  node.on('network-removed', (name) => log('info', `network ${name} removed`));
  node.on('workers-changed', ({ from, to }) => log('info', `${plural(to, 'worker')} now, before ${from}`));
  node.on('reloaded', ({ changes, generation }) => {
    for (const change of changes) log('info', changeText(change));
    log('info', `reloaded: ${plural(changes.length, 'change')}`, { generation });
  });
  node.on('reload-failed', (error) => log('error', `not reloaded, the node goes on as it was: ${errorText(error)}`));
  node.on('machine-up', ({ name }) => log('info', `port ${name}: its machine runs`));
  node.on('machine-down', ({ name }) => log('info', `port ${name}: its machine is gone`));
  for (const kind of ['port', 'underlay'] as const) {
    node.on(`${kind}-lost`, ({ name, message }) => log('warning', `${kind} ${name}: ${message}`));
    node.on(`${kind}-healed`, ({ name, afterSec }) =>
      log('info', `${kind} ${name} is back`, { afterMs: Math.round(afterSec * 1000) }),
    );
  }
  node.on('worker-lost', ({ index, message, packetsLost }) =>
    log('error', `worker ${index} died: ${message}`, { packetsLost }),
  );
  node.on('worker-replaced', ({ index, afterMs }) =>
    log('info', `worker ${index} replaced`, { afterMs: Math.round(afterMs) }),
  );
  node.on('warning', (message) => log('warning', message));
}

function changeText({ action, kind, name, network, settings }: ChangeDocument): string {
  const where = network === null ? '' : ` of network ${network}`;
  const what = settings.map((setting) => `${setting.name} ${valueText(setting.from)} -> ${valueText(setting.to)}`);
  return `${kind} ${name}${where} ${action}${what.length > 0 ? `: ${what.join(', ')}` : ''}`;
}

/** A process that was started in a terminal gets SIGHUP when that is closed, too. */
function hasTerminal(): boolean {
  try {
    closeSync(openSync('/dev/tty', 'r'));
    return true;
  } catch {
    return false;
  }
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
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, onSignal);
    const hadTerminal = hasTerminal();
    process.on('SIGHUP', () => {
      if (hadTerminal && !hasTerminal()) onSignal('SIGHUP');
      // What came of it is an event.
      else if (!isStopping) node.reload().catch(() => {});
    });
  });
}
