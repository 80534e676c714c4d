/**
 * A started node moves to another configuration: new devices are opened, every worker takes the plan over, and only then is closed what
 * nobody uses any more. A step that fails leaves what was there before.
 */
import type { Dataplane } from '../observe/dataplane.js';
import type { ApiServer } from './api.js';
import type { Config } from './config.js';
import { requireRights } from './deviceKernel.js';
import type { Devices } from './devices.js';
import type { DynamicPeers } from './dynamicPeers.js';
import { diffPlans, type HostFacts, makePlan, type Planned } from './plan.js';
import { retireRows } from './retire.js';

/** What a started node holds. */
export interface Run {
  api: ApiServer | null;
  facts: HostFacts;
  planned: Planned;
  devices: Devices;
  dataplane: Dataplane;
  dynamicPeers: DynamicPeers;
  startedAt: number;
  /** Figures of entities whose ids were given again. */
  retired: Float64Array;
}

/** Puts a configuration into effect; returns what could not be closed cleanly. On failure the node stays on the plan that it has. */
export async function changeRun(run: Run, config: Config): Promise<string[]> {
  const before = run.planned;
  const after = makePlan(config, run.facts, before, run.dynamicPeers.list());
  const { portsRemoved, peersRemoved, portsAdded, peersAdded } = diffPlans(before.plan, after.plan);
  if (usesTun(config)) requireRights(true);
  run.devices.open(after.plan);
  retireRows(run.dataplane.counters, run.retired, { portsAdded, peersAdded }, before.unused);
  try {
    await run.dataplane.apply(after.plan, run.devices.forWorkers(after.plan));
  } catch (error) {
    // Workers that took the change go back, so that no descriptor is closed under them.
    const back = { ...before.plan, generation: after.plan.generation + 1 };
    run.planned = { plan: back, unused: after.unused };
    await run.dataplane.apply(back, run.devices.forWorkers(back)).catch(() => {});
    run.devices.closeOthers(back);
    throw error;
  }
  run.planned = after;
  for (const { id } of portsRemoved) run.dataplane.flushMacs({ port: id });
  for (const { id } of peersRemoved) run.dataplane.flushMacs({ peer: id });
  return run.devices.closeOthers(after.plan);
}

/** Whether a configuration has ports that are devices of /dev/net/tun. */
export function usesTun({ networks }: Config): boolean {
  return networks.some((network) => network.ports.some((port) => port.type === 'tap' || port.type === 'tun'));
}
