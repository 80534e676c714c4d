/**
 * The verbs of the `weft` command. They are defined in files of their own and load what they need when they run, so that help is fast and needs
 * neither rights nor the native addon.
 */
import { Command, CommanderError } from 'commander';
import { packageVersion } from '../observe/version.js';
import { defineCapture } from './capture.js';
import { defineCheck } from './check.js';
import { defineDrops } from './drops.js';
import { defineLab } from './lab.js';
import { defineMac } from './mac.js';
import { defineNeighbours } from './neighbours.js';
import { defineNetwork } from './network.js';
import { EXIT_OK, EXIT_USAGE, fail } from './output.js';
import { definePeer } from './peer.js';
import { definePeers } from './peers.js';
import { definePort } from './port.js';
import { defineReload } from './reload.js';
import { defineReplay } from './replay.js';
import { defineRoute } from './route.js';
import { defineStats } from './stats.js';
import { defineStatus } from './status.js';
import { defineUp } from './up.js';
import { defineWorkers } from './workers.js';

const HELP = `
Examples:
  weft lab                       two hosts on this machine, joined and measured; leaves nothing behind
  weft check node.yaml           is the configuration good?
  weft up node.yaml              run a node
  weft status                    what it does, and why not faster
  weft capture --on web web.pcapng
  weft replay web.pcapng --push vxlan:vni=42,remote=198.18.0.2 --out wire.pcapng

Exit codes: 0 good, 1 wrong usage, 2 failed, 3 node unreachable, 4 replayed what is there of a cut-off capture.`;

export function createProgram(): Command {
  const program = new Command('weft')
    .description(
      'A virtual switch in user space: joins local networks of hosts over VXLAN, Geneve, GRE and IP tunnels.',
    )
    .version(packageVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .configureHelp({ sortSubcommands: false, showGlobalOptions: false })
    // `weft mac add ... --node left`: an option behind a verb is that verb's, also where `weft mac` has one of its name.
    .enablePositionalOptions()
    .showHelpAfterError('(`weft --help` shows what there is, `weft VERB --help` what a verb takes)')
    .addHelpText('after', HELP)
    .exitOverride();
  for (const define of [
    defineLab,
    defineUp,
    defineCheck,
    defineStatus,
    definePeers,
    defineMac,
    defineNeighbours,
    defineRoute,
    defineDrops,
    defineStats,
    defineCapture,
    defineReplay,
    defineReload,
    defineNetwork,
    definePort,
    definePeer,
    defineWorkers,
  ])
    define(program);
  return program;
}

/** Runs one command line; the exit code is in process.exitCode. */
export async function run(argv: readonly string[]): Promise<void> {
  try {
    await createProgram().parseAsync(argv);
  } catch (error) {
    if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? EXIT_OK : EXIT_USAGE;
    else fail(error);
  }
}
