/**
 * The sockets of a udp underlay: one for receiving for each worker, joined by SO_REUSEPORT, and one for sending for each worker and
 * source port, which drops whatever is sent to it.
 */
import type { UdpRequest, UdpSocket } from '../native/tun.js';
import type { DeviceState, PathDocument, PathReason } from '../observe/documents.js';
import type { CarrierSockets, UnderlayPlan } from '../pipeline/plan.js';
import { underlayError } from './deviceErrors.js';
import type { DeviceKernel } from './deviceKernel.js';
import { stateOf, tryClose } from './tapDevice.js';

/** A burst of every peer fits: 7 MB is what the kernel's own tunnels are tuned to on fast links. */
const BUFFER_BYTES = 7 * 1024 * 1024;

export interface UnderlaySockets {
  underlay: number;
  /** One entry for each worker. */
  workers: CarrierSockets[];
  sourcePorts: number[];
  device: string | null;
  deviceMtu: number | null;
  path: PathDocument;
  /** How the device is now; null when none carries the address by name. */
  state(): DeviceState | null;
  close(): string[];
}

/** Opens the sockets of an underlay. Throws a WeftError, with everything closed again. */
export function openUnderlay(kernel: DeviceKernel, underlay: UnderlayPlan, workers: number): UnderlaySockets {
  const fds: number[] = [];
  const open = (request: UdpRequest): UdpSocket => {
    try {
      const opened = kernel.udpOpen(request);
      fds.push(opened.fd);
      return opened;
    } catch (error) {
      throw underlayError(underlay, request.port, error, () => addressesOf(kernel));
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
      if (workers === 1) senders[0].push(open({ ...wanted, reusePort: false }));
      else {
        const port = reserve(wanted);
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
  return {
    family: 4,
    address: underlay.address,
    port: underlay.udpPort,
    ...(underlay.device ? { device: underlay.device } : {}),
    reusePort: true,
    gro: true,
    recvTos: true,
    rcvbuf: BUFFER_BYTES,
    sndbuf: BUFFER_BYTES,
    rxqOvfl: true,
  };
}

function sending(underlay: UnderlayPlan, port: number): UdpRequest {
  return {
    family: 4,
    address: underlay.address,
    port,
    ...(underlay.device ? { device: underlay.device } : {}),
    reusePort: true,
    gro: false,
    recvTos: false,
    rcvbuf: 0,
    sndbuf: BUFFER_BYTES,
    sink: true,
    pmtudiscProbe: true,
    recvErr: true,
    ttl: underlay.ttl,
    tos: underlay.dscp > 0 ? underlay.dscp << 2 : 0,
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
  // The kernel accounts twice what was asked for.
  if (receiver.rcvbuf < 2 * BUFFER_BYTES)
    reasons.push({
      feature: 'buffers',
      reason: `the receive buffer has ${receiver.rcvbuf / 2} of ${BUFFER_BYTES} bytes: bursts may be lost`,
      remedy: `run with CAP_NET_ADMIN, or \`sysctl net.core.rmem_max=${BUFFER_BYTES}\``,
    });
  return {
    send: sender.segment && underlay.checksum ? 'superframes' : 'frames',
    receive: receiver.gro ? 'superframes' : 'frames',
    reasons,
  };
}

/** Interface that carries the underlay's address, and its MTU. */
export function deviceOf(
  kernel: DeviceKernel,
  underlay: { address: string; device?: string | null },
): { device: string | null; deviceMtu: number | null; state: () => DeviceState | null } {
  const carrier = () => kernel.addressList({}).find((entry) => entry.address === underlay.address)?.name;
  const device = underlay.device ?? carrier() ?? null;
  const link = device === null ? null : kernel.linkGet({ name: device });
  if (link === null) return { device, deviceMtu: null, state: () => null };
  return { device, deviceMtu: link.mtu, state: stateOf(kernel, { name: link.name }, link.index) };
}

function addressesOf(kernel: DeviceKernel): string[] {
  try {
    return kernel
      .addressList({})
      .filter((entry) => entry.family === 4)
      .slice(0, 8)
      .map((entry) => `${entry.address} (${entry.name})`);
  } catch {
    return [];
  }
}
