/**
 * The sockets of a UDP carrier: one for receiving for each worker, joined by SO_REUSEPORT, and one for sending for each worker and
 * source port, which drops whatever is sent to it.
 */
import type { UdpRequest, UdpSocket } from '../../native/tun.js';
import type { PathDocument, PathReason } from '../../observe/documents.js';
import type { CarrierSockets, UnderlayPlan } from '../../pipeline/plan.js';
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
import { createSocketGroup, type SocketGroup } from './socketGroup.js';

/** Carriers of one underlay that configure source ports send from the same ones. */
export interface Siblings {
  /** The underlay has other UDP carriers. */
  any: boolean;
  /** Source ports that they have open. */
  sourcePorts: readonly number[];
}

const ALONE: Siblings = { any: false, sourcePorts: [] };

/** The sockets of one worker. */
interface Own {
  receiver: Receiver;
  senders: UdpSocket[];
}

/** Opens the sockets of a UDP carrier. Throws a WeftError, with everything closed again. */
export function openUdpSockets(
  kernel: DeviceKernel,
  underlay: UnderlayPlan,
  workers: number,
  siblings: Siblings = ALONE,
  predecessors: Predecessors = NO_PREDECESSORS,
): UnderlaySockets {
  const group = predecessors.group ?? createSocketGroup(kernel);
  const opener = createOpener(kernel, underlay, group);
  const { open } = opener;
  /** Fails when a foreign socket has the port: with SO_REUSEPORT the two would share the packets in silence. */
  const reserve = (request: UdpRequest): number => {
    const probe = open({ ...request, reusePort: false });
    opener.close(probe.fd);
    return probe.port;
  };
  /** A port that this node gives up needs no reservation: nobody else can have it. */
  const claim = (request: UdpRequest): number =>
    predecessors.ports.includes(request.port) ? request.port : reserve(request);
  return opener.orClose(() => {
    const taken = inherited(predecessors, underlay)?.slice(0, workers) ?? [];
    if (taken.length === 0) claim(receiving(underlay));
    const fresh = Array.from({ length: workers - taken.length }, opener.openReceiver);
    const own = [...taken, ...fresh].map((receiver): Own => ({ receiver, senders: [] }));
    const sourcePorts: number[] = [];
    for (const wanted of wantedSourcePorts(underlay, predecessors.same)) {
      const request = sending(underlay, wanted);
      const port = siblings.sourcePorts.includes(wanted) ? wanted : claim(request);
      for (const { senders } of own) senders.push(open({ ...request, port }));
      sourcePorts.push(port);
    }
    const first = own[0];
    for (const { receiver } of own) opener.fds.add(receiver.fd);
    return Object.assign(createShares(opener, underlay, group, own, sourcePorts), {
      plan: underlay,
      group,
      sourcePorts,
      ...deviceOf(kernel, underlay),
      path: pathOf(underlay, first.receiver, first.senders[0]),
      close: closerOf(opener.fds, group.close),
    });
  });
}

type Opener = ReturnType<typeof createOpener>;

/** Opens sockets of a carrier and keeps their descriptors. */
function createOpener(kernel: DeviceKernel, underlay: UnderlayPlan, group: SocketGroup) {
  const fds = new Set<number>();
  const open = (request: UdpRequest): UdpSocket => {
    try {
      const opened = kernel.udpOpen(request);
      fds.add(opened.fd);
      return opened;
    } catch (error) {
      throw underlayError(underlay, request.port, error, () => addressesOf(kernel, request.family));
    }
  };
  const close = (fd: number): string[] => {
    fds.delete(fd);
    return group.close(fd);
  };
  return {
    fds,
    open,
    close,
    openReceiver(): Receiver {
      const opened = open(receiving(underlay));
      group.join(opened.fd);
      return opened;
    },
    /** When the step fails, what it opened is closed again. */
    orClose<T>(step: () => T): T {
      const before = new Set(fds);
      try {
        return step();
      } catch (error) {
        for (const fd of [...fds]) if (!before.has(fd)) close(fd);
        throw error;
      }
    },
  };
}

/** What each worker has, and more or fewer of them. */
function createShares(opener: Opener, underlay: UnderlayPlan, group: SocketGroup, first: Own[], ports: number[]) {
  let own = first;
  let leaving: number[] = [];
  const receivers = () => own.map(({ receiver }) => receiver);
  const choose = () => group.choose(own.map(({ receiver }) => receiver.fd));
  const openOwn = (): Own => ({
    receiver: opener.openReceiver(),
    senders: ports.map((port) => opener.open({ ...sending(underlay, port), port })),
  });

  function resize(workers: number): () => void {
    if (workers === own.length) return () => {};
    const before = own;
    // Until the workers have changed over, only those that stay get packets.
    own = before.slice(0, workers);
    choose();
    const gone = before.slice(workers).flatMap(descriptorsOf);
    const fresh = opener.orClose(() => Array.from({ length: workers - own.length }, openOwn));
    own = [...own, ...fresh];
    leaving.push(...gone);
    return () => {
      own = before;
      leaving = [...leaving.filter((fd) => !gone.includes(fd)), ...fresh.flatMap(descriptorsOf)];
    };
  }

  function settle(): string[] {
    const failures = leaving.splice(0).flatMap(opener.close);
    if (group.isChosen) choose();
    return failures;
  }

  return {
    get workers() {
      return own.map((one) => sharesOf(one, underlay));
    },
    get receivers() {
      return receivers();
    },
    resize,
    settle,
  };
}

const descriptorsOf = ({ receiver, senders }: Own) => [receiver.fd, ...senders.map(({ fd }) => fd)];

function sharesOf({ receiver, senders }: Own, { id, offloads }: UnderlayPlan): CarrierSockets {
  return {
    underlay: id,
    rxFds: [receiver.fd],
    protocols: [],
    txFds: senders.map(({ fd }) => fd),
    gro: receiver.gro === true,
    segment: offloads.segment && senders.every(({ segment }) => segment),
  };
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
