/**
 * The raw sockets of a carrier whose tunnels are IP protocols of their own. Every raw socket of a protocol gets a copy of every packet, so there
 * is one for receiving, which one worker owns; those for sending are shared by all workers.
 */
import type { RawRequest, RawSocket } from '../../native/tun.js';
import type { UnderlayPlan } from '../../pipeline/plan.js';
import {
  addressesOf,
  bufferReasons,
  closerOf,
  commonRequest,
  deviceOf,
  inherited,
  NO_PREDECESSORS,
  type Predecessors,
  RECEIVING,
  sendingOf,
  type UnderlaySockets,
} from './carrierSockets.js';
import { underlayError } from './deviceErrors.js';
import { type DeviceKernel, tryClose } from './deviceKernel.js';

/** GRE; IPv4 and IPv6 in IP. */
export function protocolsOf({ tunnel }: { tunnel: UnderlayPlan['tunnel'] }): number[] {
  return tunnel === 'gre' ? [47] : [4, 41];
}

/** Opens the sockets of a raw carrier. Throws a WeftError, with everything closed again. */
export function openRawSockets(
  kernel: DeviceKernel,
  underlay: UnderlayPlan,
  workers: number,
  predecessors: Predecessors = NO_PREDECESSORS,
): UnderlaySockets {
  const fds: number[] = [];
  const common = commonRequest(underlay);
  const open = (request: RawRequest): RawSocket => {
    try {
      const opened = kernel.rawOpen(request);
      fds.push(opened.fd);
      return opened;
    } catch (error) {
      throw underlayError(underlay, 0, error, () => addressesOf(kernel, common.family));
    }
  };
  try {
    const protocols = protocolsOf(underlay);
    // A second socket for receiving would get a second copy of each packet.
    const receivers =
      inherited(predecessors, underlay) ?? protocols.map((protocol) => open({ ...common, ...RECEIVING, protocol }));
    const senders = protocols.map((protocol) => open({ ...common, ...sendingOf(underlay), protocol }));
    let count = workers;
    const rxFds = receivers.map(({ fd }) => fd);
    const txFds = senders.map(({ fd }) => fd);
    const all = new Set([...rxFds, ...fds]);
    return {
      plan: underlay,
      get workers() {
        const owner = underlay.id % count;
        return Array.from({ length: count }, (_, worker) => ({
          underlay: underlay.id,
          rxFds: worker === owner ? rxFds : [],
          txFds,
          protocols,
          gro: false,
          segment: false,
        }));
      },
      resize(to) {
        const before = count;
        count = to;
        return () => {
          count = before;
        };
      },
      settle: () => [],
      receivers,
      group: null,
      sourcePorts: [],
      ...deviceOf(kernel, underlay),
      path: {
        send: 'frames',
        receive: 'frames',
        reasons: bufferReasons(Math.min(...receivers.map(({ rcvbuf }) => rcvbuf))),
      },
      close: closerOf(all, (fd) => tryClose(kernel, fd)),
    };
  } catch (error) {
    for (const fd of fds) tryClose(kernel, fd);
    throw error;
  }
}
