/**
 * Heartbeats of a started node: what `heartbeats.ts` needs of it.
 */
import type { CarrierSockets } from '../../pipeline/plan.js';
import type { Run } from '../change.js';
import type { Config } from '../config/config.js';
import type { DeviceKernel } from '../devices/deviceKernel.js';
import { createHeartbeatSender } from './heartbeatSender.js';
import { createHeartbeats, type HeartbeatSurroundings, type Heartbeats } from './heartbeats.js';

type Surroundings = Pick<HeartbeatSurroundings, 'relocate' | 'up' | 'down' | 'movedTo' | 'warn' | 'now'> & {
  kernel: DeviceKernel;
};

export function startHeartbeats(run: Run, config: Config, { kernel, ...around }: Surroundings): Heartbeats {
  let generation = -1;
  let open = new Map<number, CarrierSockets>();

  /** Sockets of the first worker: heartbeats go through its receiving one, whose port is the tunnel's. */
  function sockets(carrier: number): CarrierSockets | undefined {
    const { plan } = run.planned;
    if (plan.generation !== generation) {
      generation = plan.generation;
      open = new Map(run.devices.forWorkers(plan)[0].underlays.map((one) => [one.underlay, one]));
    }
    return open.get(carrier);
  }

  return createHeartbeats(config, {
    ...around,
    sockets,
    plan: () => run.planned.plan,
    drain: (onHeartbeat) => run.dataplane.drainHeartbeats(onHeartbeat),
    sender: () => createHeartbeatSender(kernel.bindUdpTx),
    paths: run.mtus.paths,
  });
}
