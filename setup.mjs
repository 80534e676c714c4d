#!/usr/bin/env node
// Brings a fresh clone, or a changed one, to where `weft` can be run, tested, measured or packed; repeats nothing that is up to date.
//
//   node setup.mjs --for start|test|bench|build|pack
//   node setup.mjs --only native|dpdk|dpdk-sanitized|wasm|typescript|bench
//
// Exit status: 0 ready, 1 wrong usage, 2 something is missing or a step failed. All progress goes to stderr.
import { bench, dpdk, dpdkSanitized, native, typescript, wasm } from './setup/builds.mjs';
import { withLock } from './setup/lock.mjs';
import * as packages from './setup/packages.mjs';
import { guest, openVswitch } from './setup/peers.mjs';
import { findCargo, SetupError, say, shownStep } from './setup/process.mjs';
import { nodeLack, rootLack, tunLack } from './setup/requirements.mjs';
import { dropStamp, isFresh, writeStamp } from './setup/stamps.mjs';

const builds = { native, dpdk, 'dpdk-sanitized': dpdkSanitized, wasm, typescript, bench };

const purposes = {
  start: ['wasm', 'typescript', 'native', 'dpdk'],
  test: ['wasm', 'typescript', 'native', 'dpdk', 'dpdk-sanitized'],
  bench: ['wasm', 'typescript', 'native', 'dpdk', 'bench'],
  build: ['wasm', 'typescript', 'native', 'dpdk'],
  pack: ['wasm', 'typescript', 'native', 'dpdk'],
};

function parseArguments(args) {
  const [flag, word] = args;
  if (args.length === 2 && flag === '--for' && word in purposes) return { purpose: word, steps: purposes[word] };
  if (args.length === 2 && flag === '--only' && word in builds) return { purpose: 'build', steps: [word], only: true };
  say(`usage: node setup.mjs --for ${Object.keys(purposes).join('|')} or --only ${Object.keys(builds).join('|')}`);
  process.exit(1);
}

const isStale = (name) => !isFresh(name, builds[name].hash(), builds[name].outputs());

/** Root and /dev/net/tun: what is missing, how to get it, and what can be done without; null when both are there. */
function rightsLack(consolation) {
  const lack = rootLack() ?? tunLack();
  return lack && `${lack} Without it ${consolation}.`;
}

/** Everything that is missing is said at once, and before anything long begins. `coming`: Debian packages about to be installed. */
function refuseWhatCannotWork(purpose, steps, coming) {
  const lacks = [nodeLack()];
  if (purpose === 'start')
    lacks.push(rightsLack('these still work: "npm run build", "npx weft check CONFIG.yaml", "npm test"'));
  if (purpose !== 'pack')
    for (const name of steps) if (isStale(name) && !builds[name].without) lacks.push(...builds[name].lacks(coming));
  const said = lacks.filter((lack) => lack !== null);
  if (said.length > 0) throw new SetupError(said.join('\nset-up: '));
}

async function provideDebianPackages(names) {
  if (names.length === 0) return 0;
  await shownStep(`Debian packages ${names.join(' ')}`, () => packages.installDebianPackages(names));
  return 1;
}

async function provideNpmPackages() {
  if (packages.npmPackagesFresh()) return 0;
  await shownStep('npm packages (npm ci)', packages.installNpmPackages);
  return 1;
}

async function provideRustComponents(purpose) {
  const names = purpose === 'test' ? packages.missingRustComponents() : [];
  if (names.length === 0) return 0;
  await shownStep(`Rust components ${names.join(' ')}`, () => packages.installRustComponents(names));
  return 1;
}

async function provideBuild(name, purpose) {
  const build = builds[name];
  const hash = build.hash();
  if (isFresh(name, hash, build.outputs())) return 0;
  const lacks = build.lacks([]);
  if (lacks.length > 0 && build.without) {
    say(`${build.without}: ${lacks.join(' ')}`);
    return 0;
  }
  if (lacks.length > 0) {
    if (purpose !== 'pack') throw new SetupError(lacks.join('\nset-up: '));
    say(`packing without the ${build.title.replace(/ \(.*/, '')}: ${lacks.join(' ')}`);
    return 0;
  }
  dropStamp(name);
  await shownStep(build.title, build.make);
  writeStamp(name, hash);
  return 1;
}

/** Debian packages that only some of a purpose needs, and what is said where they cannot be had: that is no failure. */
const optionalPackages = {
  test: [
    ['dpdk', 'tests with DPDK are skipped'],
    ['cpp', 'checks of C++ are skipped'],
  ],
  bench: [['dpdk', 'benchmarks over DPDK cannot run']],
};

async function provideOptionalPackages(purpose, group, what) {
  const names = packages.missingDebianPackages(group);
  if (names.length === 0) return 0;
  try {
    const lack = packages.installLack(names, purpose);
    if (lack) throw new SetupError(lack);
    await shownStep(`Debian packages ${names.join(' ')}`, () => packages.installDebianPackages(names));
    return 1;
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    say(`${what}: ${error.message}`);
    return 0;
  }
}

/** What only some interop tests and benchmarks need: what cannot be had is said, and no failure. */
async function providePeers(purpose) {
  if (purpose !== 'test' && purpose !== 'bench') return 0;
  let done = 0;
  const provide = async (what, lack, title, make) => {
    try {
      if (lack) throw new SetupError(lack);
      await shownStep(title, make);
      done++;
    } catch (error) {
      if (!(error instanceof SetupError)) throw error;
      const lacking =
        purpose === 'test' ? `interop tests with ${what} are skipped` : `benchmarks with ${what} cannot run`;
      say(`${lacking}: ${error.message}`);
    }
  };
  const names = packages.missingDebianPackages(purpose === 'test' ? 'peers' : 'benchPeers');
  if (names.length > 0) {
    const title = `Debian packages ${names.join(' ')}`;
    const lack = packages.installLack(names, purpose);
    await provide(purpose === 'test' ? 'Open vSwitch or a guest' : 'Open vSwitch', lack, title, () =>
      packages.installDebianPackages(names),
    );
  }
  for (const [name, what, peer] of [
    ['openvswitch', 'Open vSwitch', openVswitch],
    ['guest', 'a guest', guest],
  ]) {
    if (purpose === 'bench' && peer !== openVswitch) continue;
    if (isFresh(name, peer.hash(), peer.outputs())) continue;
    await provide(what, peer.lacks(), peer.title, async () => {
      dropStamp(name);
      await peer.make();
      writeStamp(name, peer.hash());
    });
  }
  return done;
}

async function provideAll({ purpose, steps, only }) {
  const since = Date.now();
  let done = 0;
  if (!only) {
    const missing = packages.missingDebianPackages(purpose);
    const lack = missing.length > 0 ? packages.installLack(missing, purpose) : null;
    const coming = lack ? [] : missing;
    refuseWhatCannotWork(purpose, steps, coming);
    const withoutRights =
      purpose === 'test' ? rightsLack('"native" and "interop" tests that need it are skipped, all others run') : null;
    for (const sentence of [lack, withoutRights]) if (sentence) say(sentence);
    done += await provideDebianPackages(coming);
    for (const [group, what] of optionalPackages[purpose] ?? [])
      done += await provideOptionalPackages(purpose, group, what);
    done += await provideNpmPackages();
    done += await provideRustComponents(purpose);
  } else if (steps[0] !== 'native') {
    done += await provideNpmPackages();
  }
  for (const name of steps) done += await provideBuild(name, purpose);
  if (!only) done += await providePeers(purpose);
  const time = `${((Date.now() - since) / 1000).toFixed(1)} s`;
  say(done === 0 ? `everything is up to date (${time})` : `ready in ${time}`);
}

findCargo();
const wanted = parseArguments(process.argv.slice(2));
try {
  await withLock(() => provideAll(wanted));
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  say(error.message);
  process.exit(2);
}
