/**
 * What the status says of devices: how frames go through them, how they are now.
 */
import type { FrameDevicePlan, PortPlan } from '../../pipeline/plan.js';
import type { OpenDpdkDevice } from './dpdkDevices.js';
import { offloadNames, type TapDevice } from './tapDevice.js';

/** Reports are made for one document, which may use a figure several times: the kernel is asked once. */
export function portReport(tap: TapDevice | undefined, dpdk: OpenDpdkDevice | undefined, { kind }: PortPlan) {
  if (dpdk) {
    const { path, mac, queues, idle, queuesEnabled, machine, state, missed } = dpdk;
    return { path, mac, queues, queuesEnabled, idle, machine, offloads: offloadNames(dpdk.offloads), state, missed };
  }
  if (tap) {
    let seen: ReturnType<TapDevice['look']> | undefined;
    const look = () => {
      seen ??= tap.look();
      return seen;
    };
    return {
      path: tap.path,
      mac: tap.mac,
      queues: tap.fds.length,
      offloads: offloadNames(tap.offloads),
      state: () => look().state,
      missed: () => look().missed,
    };
  }
  const use = kind === 'pcap' ? ('files' as const) : ('memory' as const);
  return {
    path: { send: use, receive: use, reasons: [] },
    mac: null,
    queues: 1,
    offloads: [],
    state: () => null,
    missed: () => 0,
  };
}

export function frameReport(kind: FrameDevicePlan['kind'] | undefined, dpdk: OpenDpdkDevice | undefined) {
  if (dpdk) return { path: dpdk.path, device: null, deviceMtu: null, sourcePorts: [], state: dpdk.state };
  const use = kind === 'pcap' ? ('files' as const) : ('memory' as const);
  return {
    path: { send: use, receive: use, reasons: [] },
    device: null,
    deviceMtu: null,
    sourcePorts: [],
    state: () => null,
  };
}
