/**
 * The sockets of a UDP carrier: one for receiving for each worker, joined by SO_REUSEPORT, and one for sending for each worker and
 * source port, which drops whatever is sent to it.
 */
import type { UdpRequest, UdpSocket } from '../native/tun.js';
import type { PathDocument, PathReason } from '../observe/documents.js';
import type { UnderlayPlan } from '../pipeline/plan.js';
import {
  addressesOf,
  bufferReasons,
  commonRequest,
  deviceOf,
  RECEIVING,
  sendingOf,
  type UnderlaySockets,
} from './carrierSockets.js';
import { underlayError } from './deviceErrors.js';
import type { DeviceKernel } from './deviceKernel.js';
import { tryClose } from './tapDevice.js';

/** Carriers of one underlay that configure source ports send from the same ones. */
export interface Siblings {
  /** The underlay has other UDP carriers. */
  any: boolean;
  /** Source ports that they have open. */
  sourcePorts: readonly number[];
}

const ALONE: Siblings = { any: false, sourcePorts: [] };

/** Opens the sockets of a UDP carrier. Throws a WeftError, with everything closed again. */
export function openUdpSockets(
  kernel: DeviceKernel,
  underlay: UnderlayPlan,
  workers: number,
  siblings: Siblings = ALONE,
): UnderlaySockets {
  const fds: number[] = [];
  const open = (request: UdpRequest): UdpSocket => {
    try {
      const opened = kernel.udpOpen(request);
      fds.push(opened.fd);
      return opened;
    } catch (error) {
      throw underlayError(underlay, request.port, error, () => addressesOf(kernel, request.family));
    }
  };
  /** Fails when a foreign socket has the port: with SO_REUSEPORT the two would share the packets in silence. */
  const reserve = (request: UdpRequest): number => {
    const probe = open({ ...request, reusePort: false });
    kernel.close(fds.pop()!);
    return probe.port;
  };
  try {
    const listen = receiving(underlay);
    reserve(listen);
    const receivers = Array.from({ length: workers }, () => open(listen));
    const sourcePorts: number[] = [];
    const senders: UdpSocket[][] = Array.from({ length: workers }, () => []);
    for (let i = 0; i < underlay.sourcePortCount; i++) {
      const wanted = sending(underlay, underlay.sourcePortFirst === 0 ? 0 : underlay.sourcePortFirst + i);
      const isShared = siblings.any && wanted.port !== 0;
      if (workers === 1 && !isShared) senders[0].push(open({ ...wanted, reusePort: false }));
      else {
        const port = siblings.sourcePorts.includes(wanted.port) ? wanted.port : reserve(wanted);
        for (const own of senders) own.push(open({ ...wanted, port }));
      }
      sourcePorts.push(senders[0][i].port);
    }
    return {
      underlay: underlay.id,
      workers: receivers.map((receiver, w) => ({
        underlay: underlay.id,
        rxFds: [receiver.fd],
        protocols: [],
        txFds: senders[w].map((sender) => sender.fd),
        gro: receiver.gro,
        segment: senders[w].every((sender) => sender.segment),
      })),
      sourcePorts,
      ...deviceOf(kernel, underlay),
      path: pathOf(underlay, receivers[0], senders[0][0]),
      close: () => fds.splice(0).flatMap((fd) => tryClose(kernel, fd)),
    };
  } catch (error) {
    for (const fd of fds) tryClose(kernel, fd);
    throw error;
  }
}

function receiving(underlay: UnderlayPlan): UdpRequest {
  const common = commonRequest(underlay);
  return {
    ...common,
    ...RECEIVING,
    port: underlay.udpPort,
    reusePort: true,
    gro: true,
    // Tunnels may leave it out over IPv6 too (RFC 6935), and Linux does when told to.
    ...(common.family === 6 ? { acceptZeroChecksum: true } : {}),
  };
}

function sending(underlay: UnderlayPlan, port: number): UdpRequest {
  return {
    ...commonRequest(underlay),
    ...sendingOf(underlay),
    port,
    reusePort: true,
    gro: false,
    noChecksum: !underlay.checksum,
  };
}

function pathOf(underlay: UnderlayPlan, receiver: UdpSocket, sender: UdpSocket): PathDocument {
  const reasons: PathReason[] = [];
  if (!underlay.checksum)
    reasons.push({
      feature: 'udp-segment',
      reason:
        '`checksum: false`: the kernel segments only datagrams with UDP checksums, and peers do not coalesce those without (UDP_GRO)',
      remedy: 'set `checksum: true` on this underlay',
    });
  else if (!sender.segment)
    reasons.push({
      feature: 'udp-segment',
      reason: 'the kernel has no UDP_SEGMENT: datagrams go one by one',
      remedy: 'use Linux 4.18 or newer',
    });
  if (!receiver.gro)
    reasons.push({
      feature: 'udp-gro',
      reason: 'the kernel has no UDP_GRO: datagrams come one by one',
      remedy: 'use Linux 5.0 or newer',
    });
  reasons.push(...bufferReasons(receiver.rcvbuf));
  return {
    send: sender.segment && underlay.checksum ? 'superframes' : 'frames',
    receive: receiver.gro ? 'superframes' : 'frames',
    reasons,
  };
}
