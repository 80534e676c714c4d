/**
 * The raw sockets of a carrier whose tunnels are IP protocols of their own. Every raw socket of a protocol gets a copy of every packet, so there
 * is one for receiving, which one worker owns; those for sending are shared by all workers.
 */
import type { RawRequest, RawSocket } from '../native/tun.js';
import type { UnderlayPlan } from '../pipeline/plan.js';
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
import type { DeviceKernel } from './deviceKernel.js';
import { tryClose } from './tapDevice.js';

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
    const owner = underlay.id % workers;
    return {
      plan: underlay,
      workers: Array.from({ length: workers }, (_, worker) => ({
        underlay: underlay.id,
        rxFds: worker === owner ? receivers.map(({ fd }) => fd) : [],
        txFds: senders.map(({ fd }) => fd),
        protocols,
        gro: false,
        segment: false,
      })),
      receivers,
      sourcePorts: [],
      ...deviceOf(kernel, underlay),
      path: {
        send: 'frames',
        receive: 'frames',
        reasons: bufferReasons(Math.min(...receivers.map(({ rcvbuf }) => rcvbuf))),
      },
      close: closerOf(kernel, fds, receivers),
    };
  } catch (error) {
    for (const fd of fds) tryClose(kernel, fd);
    throw error;
  }
}
