/**
 * A started node moves to another configuration: new devices are opened, every worker takes the plan over, and only then is closed what
 * nobody uses any more. A step that fails leaves what was there before.
 */
import type { Dataplane } from '../observe/dataplane.js';
import type { ChangeDocument, ReloadDocument, RestartDocument } from '../observe/documents.js';
import type { Plan } from '../pipeline/plan.js';
import type { MacFilter } from '../worker/macRows.js';
import type { ApiServer } from './api/api.js';
import type { Config } from './config/config.js';
import { type DeviceKernel, requireRights } from './devices/deviceKernel.js';
import { type Devices, type Entity, entityKey } from './devices/devices.js';
import type { Healing } from './devices/healing.js';
import type { MtuFollower } from './followMtus.js';
import type { KernelNextHops } from './kernelNextHops.js';
import type { DynamicPeers } from './peers/dynamicPeers.js';
import type { Heartbeats } from './peers/heartbeats.js';
import { gatherFacts } from './plan/facts.js';
import type { UnusedIds } from './plan/ids.js';
import { diffPlans, type HostFacts, makePlan, type Planned } from './plan/plan.js';
import { routesFit } from './plan/routeRoom.js';
import { changesOf, RestartError, restartsOf } from './reload.js';
import { inTheWayOf, isShrinkFirst, madeAnew, withFewerWorkers, withoutDevices } from './replacement.js';
import { retireRows } from './retire.js';
import { workersMaxOf, workersRestart } from './workers.js';

/** What a started node holds. */
export interface Run {
  api: ApiServer | null;
  facts: HostFacts;
  planned: Planned;
  devices: Devices;
  dataplane: Dataplane;
  dynamicPeers: DynamicPeers;
  mtus: MtuFollower;
  /** Null until the node is started. */
  heartbeats: Heartbeats | null;
  /** Null until the node is started. */
  healing: Healing | null;
  /** Null until the node is started. */
  kernelNextHops: KernelNextHops | null;
  /** Null until the node is started. */
  dpdkLog: { stop(): void } | null;
  /** Null until the node is started. */
  machines: { stop(): void } | null;
  startedAt: number;
  /** Bytes that the memory of the node has for route tables. */
  routeBytes: number;
  /** Figures of entities whose ids were given again. */
  retired: Float64Array;
}

/**
 * Puts a configuration into effect; returns what could not be closed or undone cleanly. On failure the node stays on the plan that it has.
 * With `facts` the machine is seen anew.
 */
export async function changeRun(run: Run, config: Config, facts = run.facts): Promise<string[]> {
  const before = run.planned;
  const moved = run.heartbeats?.moved();
  const after = makePlan(config, { ...facts, moved }, before, run.dynamicPeers.list());
  if (usesTun(config)) requireRights(true);
  const failures = await staffed(run, after.plan.workers, () => moveInSteps(run, before, after));
  run.facts = facts;
  run.heartbeats?.configure(config);
  run.mtus.configure(config);
  return failures;
}

/** Has threads for more workers warmed up before anything is opened for them: packets would wait there. */
async function staffed<T>(run: Run, workers: number, step: () => Promise<T>): Promise<T> {
  if (workers <= run.planned.plan.workers) return step();
  await run.dataplane.staff(workers);
  try {
    return await step();
  } catch (error) {
    await run.dataplane.staff(run.planned.plan.workers);
    throw error;
  }
}

/** What cannot be done while something else stands is done behind it. */
async function moveInSteps(run: Run, before: Planned, after: Planned): Promise<string[]> {
  const inTheWay = inTheWayOf(before.plan, after.plan);
  const isShrinking = isShrinkFirst(before.plan, after.plan);
  const isInSteps = inTheWay.ports.size + inTheWay.underlays.size > 0 || isShrinking;
  const rest = withoutDevices(before.plan, inTheWay);
  const first = isShrinking ? withFewerWorkers(rest, after.plan.workers) : rest;
  const failures = isInSteps ? await move(run, first, before.unused) : [];
  retireRows(run.dataplane.counters, run.retired, diffPlans(before.plan, after.plan), before.unused);
  try {
    return [...failures, ...(await move(run, after.plan, after.unused))];
  } catch (error) {
    if (isInSteps) await move(run, before.plan, before.unused);
    throw error;
  }
}

/**
 * Opens anew what was lost, and hands it to the workers under the same ids; what cannot be opened stays as it is. Returns why, by `entityKey`,
 * and what could not be closed cleanly. Workers look again at everything that they have given up.
 */
export async function healRun(
  run: Run,
  lost: readonly Entity[],
): Promise<{ failed: Map<string, Error>; failures: string[] }> {
  const { plan, unused } = run.planned;
  const { failed, back } = run.devices.renew(plan, lost);
  if (failed.size === lost.length) return { failed, failures: [] };
  const failures = await handOver(run, plan, unused, back);
  // What was behind a port may not be behind it any more.
  for (const { kind, id } of lost)
    if (kind === 'port' && !failed.has(entityKey({ kind, id }))) run.dataplane.flushMacs({ port: id });
  run.devices.mendRoutes();
  return { failed, failures };
}

/** From the plan that the node has to another one, all or nothing; returns what could not be closed cleanly. */
function move(run: Run, to: Plan, unused: UnusedIds): Promise<string[]> {
  return handOver(run, to, unused, run.devices.open({ ...to, generation: run.planned.plan.generation + 1 }));
}

/** Has the workers take a plan over, for which everything is open, and closes what they do not need any more. */
async function handOver(run: Run, to: Plan, unused: UnusedIds, undo: () => string[]): Promise<string[]> {
  const before = run.planned;
  const plan = { ...to, generation: before.plan.generation + 1 };
  try {
    await run.dataplane.apply(plan, run.devices.forWorkers(plan));
  } catch (error) {
    // Workers that took the change go back, so that no descriptor is closed under them.
    undo();
    const back = { ...before.plan, generation: plan.generation + 1 };
    run.planned = { plan: back, unused };
    await run.dataplane.apply(back, run.devices.forWorkers(back)).catch(() => {});
    run.devices.closeOthers(back);
    throw error;
  }
  run.planned = { plan, unused };
  for (const filter of staleMacs(before.plan, plan)) run.dataplane.flushMacs(filter);
  return run.devices.closeOthers(plan);
}

/** MACs behind what is gone, and behind what has other tables now because it, or its network, was moved or bridged. */
function staleMacs(before: Plan, after: Plan): MacFilter[] {
  const domains = (plan: Plan) => new Map(plan.networks.map(({ id, domain }) => [id, domain]));
  const [domainsBefore, domainsAfter] = [domains(before), domains(after)];
  const isStale = (one: { id: number; network: number }, others: { id: number; network: number }[]) => {
    const now = others.find((other) => other.id === one.id);
    return now === undefined || domainsBefore.get(one.network) !== domainsAfter.get(now.network);
  };
  return [
    ...before.ports.filter((port) => isStale(port, after.ports)).map(({ id }) => ({ port: id })),
    ...before.peers.filter((peer) => isStale(peer, after.peers)).map(({ id }) => ({ peer: id })),
  ];
}

/** What a reload finds, and whether it is only to look. */
export interface Reload {
  before: Config;
  after: Config;
  kernel: DeviceKernel;
  dryRun: boolean;
}

/** Puts a whole configuration into effect; the machine is looked at anew. Throws a RestartError when a running node cannot take it. */
export async function reloadRun(run: Run, { before, after, kernel, dryRun }: Reload) {
  const restart = restartsOf(before, after, run.facts.hostname);
  restart.push(...workersRestart(before, after, run.facts.workersMax ?? workersMaxOf(before)));
  if (!routesFit(after, run.routeBytes)) restart.push(ROUTES_RESTART);
  if (restart.length > 0 && !dryRun) throw new RestartError(restart);
  const facts = { ...run.facts, ...gatherFacts(after, kernel) };
  const { plan } = run.planned;
  const anew = madeAnew(plan, makePlan(after, facts, run.planned, run.dynamicPeers.list()).plan);
  const changes = changesOf(before, after).map((change): ChangeDocument => {
    const isAnew = change.action === 'changed' && anew.has(`${change.kind} ${change.name}`);
    return isAnew ? { ...change, effect: change.kind === 'port' ? 'recreated' : 'reopened' } : change;
  });
  const failures = dryRun ? [] : await changeRun(run, after, facts);
  const document: ReloadDocument = { applied: !dryRun, generation: run.planned.plan.generation, changes, restart };
  return { document, failures };
}

const ROUTES_RESTART: RestartDocument = {
  setting: 'routes',
  from: null,
  to: null,
  why: 'there are more of them than the memory that was made at the start has room for',
};

/** Whether a configuration has ports that are devices of /dev/net/tun. */
export function usesTun({ networks }: Config): boolean {
  return networks.some((network) => network.ports.some((port) => port.type === 'tap' || port.type === 'tun'));
}
