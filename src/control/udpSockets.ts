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
  closerOf,
  commonRequest,
  deviceOf,
  inherited,
  NO_PREDECESSORS,
  type Predecessors,
  RECEIVING,
  type Receiver,
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
  predecessors: Predecessors = NO_PREDECESSORS,
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
  /** A port that this node gives up needs no reservation: nobody else can have it. */
  const claim = (request: UdpRequest): number =>
    predecessors.ports.includes(request.port) ? request.port : reserve(request);
  const openReceivers = (count: number): Receiver[] => {
    const listen = receiving(underlay);
    return Array.from({ length: count }, () => open(listen));
  };
  try {
    const taken = inherited(predecessors, underlay)?.slice(0, workers) ?? [];
    if (taken.length === 0) claim(receiving(underlay));
    const receivers = [...taken, ...openReceivers(workers - taken.length)];
    const sourcePorts: number[] = [];
    const senders: UdpSocket[][] = Array.from({ length: workers }, () => []);
    for (const wanted of wantedSourcePorts(underlay, predecessors.same)) {
      const request = sending(underlay, wanted);
      const port = siblings.sourcePorts.includes(wanted) ? wanted : claim(request);
      for (const own of senders) own.push(open({ ...request, port }));
      sourcePorts.push(port);
    }
    return {
      plan: underlay,
      workers: receivers.map((receiver, w) => ({
        underlay: underlay.id,
        rxFds: [receiver.fd],
        protocols: [],
        txFds: senders[w].map((sender) => sender.fd),
        gro: receiver.gro === true,
        segment: underlay.offloads.segment && senders[w].every((sender) => sender.segment),
      })),
      receivers,
      sourcePorts,
      ...deviceOf(kernel, underlay),
      path: pathOf(underlay, receivers[0], senders[0][0]),
      close: closerOf(kernel, fds, receivers),
    };
  } catch (error) {
    for (const fd of fds) tryClose(kernel, fd);
    throw error;
  }
}

/** Source ports of a carrier, 0 for one that the kernel chooses. The ones that it chose before stay at the same address. */
function wantedSourcePorts(underlay: UnderlayPlan, before: UnderlaySockets | null): number[] {
  const { sourcePortFirst: first, sourcePortCount: count, address } = underlay;
  const isChosen = first === 0 && before?.plan.sourcePortFirst === 0 && before.plan.address === address;
  const chosen = isChosen ? before.sourcePorts : [];
  return Array.from({ length: count }, (_, i) => (first === 0 ? (chosen[i] ?? 0) : first + i));
}

function receiving(underlay: UnderlayPlan): UdpRequest {
  const common = commonRequest(underlay);
  return {
    ...common,
    ...RECEIVING,
    port: underlay.udpPort,
    reusePort: true,
    gro: underlay.offloads.gro,
    // Heartbeats are sent from here: as a NAT sees them, from the port that it is to lead back to.
    pmtudiscProbe: true,
    ttl: underlay.ttl,
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

function pathOf(underlay: UnderlayPlan, receiver: Receiver, sender: UdpSocket): PathDocument {
  const reasons: PathReason[] = [];
  if (!underlay.checksum)
    reasons.push({
      feature: 'udp-segment',
      reason:
        '`checksum: false`: the kernel segments only datagrams with UDP checksums, and peers do not coalesce those without (UDP_GRO)',
      remedy: 'set `checksum: true` on this underlay',
    });
  else if (!underlay.offloads.segment)
    reasons.push({
      feature: 'udp-segment',
      reason: '`offloads: {segment: false}` of the underlay: datagrams go one by one',
      remedy: 'take it out',
    });
  else if (!sender.segment)
    reasons.push({
      feature: 'udp-segment',
      reason: 'the kernel has no UDP_SEGMENT: datagrams go one by one',
      remedy: 'use Linux 4.18 or newer',
    });
  if (!underlay.offloads.gro)
    reasons.push({
      feature: 'udp-gro',
      reason: '`offloads: {gro: false}` of the underlay: datagrams come one by one',
      remedy: 'take it out',
    });
  else if (!receiver.gro)
    reasons.push({
      feature: 'udp-gro',
      reason: 'the kernel has no UDP_GRO: datagrams come one by one',
      remedy: 'use Linux 5.0 or newer',
    });
  reasons.push(...bufferReasons(receiver.rcvbuf));
  return {
    send: sender.segment && underlay.checksum && underlay.offloads.segment ? 'superframes' : 'frames',
    receive: receiver.gro ? 'superframes' : 'frames',
    reasons,
  };
}
