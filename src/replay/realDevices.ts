import type { Config } from '../control/config/config.js';
import { loadKernel } from '../control/devices/deviceKernel.js';
import { createDevices } from '../control/devices/devices.js';
import { gatherFacts } from '../control/plan/facts.js';
import { makePlan } from '../control/plan/plan.js';
import { tun } from '../native/tun.js';
import type { Plan, WorkerDevices } from '../pipeline/plan.js';
import { captureConfig, refuseTwins } from './captureConfig.js';

/** Real devices of a replay on the real clock. Descriptors belong to the process: this thread opens and closes them. */
export interface RealDevices {
  plan: Plan;
  devices: WorkerDevices;
  doorbell: number;
  close(): void;
}

/** Opens what is no capture, as a live node does. */
export function openRealDevices(config: Config, isCapture: (name: string) => boolean): RealDevices {
  const kernel = loadKernel();
  const partly = captureConfig(config, isCapture);
  const { plan } = makePlan(partly, gatherFacts(partly, kernel));
  refuseTwins(plan);
  return openPlan(plan, kernel);
}

/** The same for a plan whose devices are all captures, or memory. */
export function openPlan(plan: Plan, kernel = loadKernel()): RealDevices {
  const devices = createDevices(kernel);
  devices.open(plan);
  const doorbell = tun().eventfd();
  return {
    plan,
    devices: devices.forWorkers(plan)[0],
    doorbell,
    close() {
      devices.closeAll();
      tun().close(doorbell);
    },
  };
}
