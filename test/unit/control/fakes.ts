/**
 * A kernel and a dataplane of memory, for tests of what control does with them.
 */
import { EventEmitter } from 'node:events';
import type { DeviceKernel } from '../../../src/control/devices/deviceKernel.js';
import {
  type Link,
  type MonitorNews,
  type RawRequest,
  ROUTE_PROTOCOL,
  type Route,
  type TapRequest,
  type UdpRequest,
} from '../../../src/native/tun.js';
import type { Dataplane, MacRow } from '../../../src/observe/dataplane.js';
import { makeCounterBlock } from '../../../src/packet/counters.js';
import type { Plan, WorkerDevices } from '../../../src/pipeline/plan.js';

export function systemError(code: string, errno: number, syscall: string): Error {
  return Object.assign(new Error(`${syscall}: ${code}`), { code, errno, syscall });
}

export interface FakeKernel extends DeviceKernel {
  /** Open descriptors and what they are. */
  open: Map<number, string>;
  links: Map<string, Link>;
  /** Every call, in order. */
  calls: string[];
  /** Ports of foreign sockets. */
  busy: Set<number>;
  /** Throws instead of the call that starts with this text. */
  failOn: Map<string, Error>;
  /** So many calls go well, the next one fails; then all go well again. */
  failAfter: number;
  /** Addresses of devices. */
  addresses: Map<string, Set<string>>;
  /** Devices that were there before have several queues. */
  attachedMultiQueue: boolean;
  /** What openTap gives. */
  tapGives: { vnetHdrLen: number; offloads: number };
  udpGives: { gro: boolean; segment: boolean; rcvbuf: number };
  /** Addresses of the host. */
  own: string[];
  /** Routes by namespace and prefix. */
  routes: Map<string, Route>;
  /** What the next look at the monitor finds. */
  news: MonitorNews;
}

const link = (index: number, name: string, rest: Partial<Link> = {}): Link => ({
  index,
  name,
  mac: '02:00:00:00:00:ff',
  mtu: 1500,
  up: true,
  running: true,
  kind: '',
  gsoMaxSize: 65536,
  txDropped: 0,
  ...rest,
});

/** A route of the fake kernel. */
export const route = (rest: Partial<Route>): Route => ({
  family: 4,
  prefix: '',
  type: 'unicast',
  device: null,
  via: null,
  source: null,
  metric: 0,
  table: 254,
  protocol: 3,
  ...rest,
});

export function fakeKernel(): FakeKernel {
  let nextFd = 100;
  let nextIndex = 10;
  /** Addresses and ports of UDP sockets. */
  const bound = new Map<number, string>();
  /** Devices that were made, and whether they can have several queues. */
  const ours = new Map<string, boolean>();
  const key = (of: { netns?: string; name: string }) => `${of.netns ?? ''}/${of.name}`;
  const call = (text: string) => {
    kernel.calls.push(text);
    for (const [start, error] of kernel.failOn) if (text.startsWith(start)) throw error;
    if (kernel.failAfter-- === 0) throw systemError('EIO', 5, text);
  };
  const kernel: FakeKernel = {
    open: new Map(),
    links: new Map([['/eth0', link(2, 'eth0')]]),
    calls: [],
    busy: new Set(),
    failOn: new Map(),
    failAfter: Number.POSITIVE_INFINITY,
    addresses: new Map(),
    attachedMultiQueue: true,
    tapGives: { vnetHdrLen: 12, offloads: 0x67 },
    udpGives: { gro: true, segment: true, rcvbuf: 2 * 7 * 1024 * 1024 },
    own: ['192.0.2.1'],
    routes: new Map(),
    news: { events: [], routes: false, overrun: false },
    affinity: () => [0, 1, 2, 3],
    openTap(request: TapRequest) {
      call(`openTap ${key(request)}`);
      const known = kernel.links.get(key(request));
      if (request.create && known) throw systemError('EEXIST', 17, 'ioctl TUNSETIFF');
      if (!request.create && !known) throw systemError('ENODEV', 19, 'ioctl TUNSETIFF');
      const kind = request.kind ?? 'tap';
      const made =
        known ?? link(nextIndex++, request.name, { up: false, kind, ...(kind === 'tun' ? { mac: '' } : {}) });
      kernel.links.set(key(request), made);
      if (request.create) ours.set(key(request), request.multiQueue === true || request.queues > 1);
      const multiQueue = ours.get(key(request)) ?? kernel.attachedMultiQueue;
      const fds = Array.from({ length: multiQueue ? request.queues : 1 }, () => nextFd++);
      const isMade = ours.has(key(request));
      for (const fd of fds) kernel.open.set(fd, `${kind} ${key(request)}${isMade ? ' created' : ''}`);
      const { tapGives } = kernel;
      const vnetHdrLen = request.vnetHdr ? tapGives.vnetHdrLen : 0;
      const offloads = request.vnetHdr ? tapGives.offloads & request.offloads : 0;
      return { fds, name: request.name, ifindex: made.index, vnetHdrLen, offloads, multiQueue };
    },
    tapSteer(fd, queues) {
      call(`tapSteer ${kernel.open.get(fd)} ${queues}`);
    },
    udpSteer(fd, sockets) {
      call(`udpSteer ${kernel.open.get(fd)} ${sockets}`);
    },
    bindUdpTx: () => () => 0,
    monitorOpen({ netns = '' } = {}) {
      call(`monitorOpen ${netns}`);
      const fd = nextFd++;
      kernel.open.set(fd, `monitor ${netns}`);
      return fd;
    },
    monitorRead() {
      const { news } = kernel;
      kernel.news = { events: [], routes: false, overrun: false };
      return news;
    },
    linkList: ({ netns = '' } = {}) =>
      [...kernel.links].filter(([at]) => at.startsWith(`${netns}/`)).map(([, found]) => found),
    linkGet: (of) => kernel.links.get(key(of)) ?? null,
    linkSet(change) {
      const { netns: _netns, name: _name, ...rest } = change;
      call(`linkSet ${key(change)} ${JSON.stringify(rest)}`);
      const known = kernel.links.get(key(change));
      if (!known) throw systemError('ENODEV', 19, 'netlink RTM_NEWLINK');
      kernel.links.set(key(change), { ...known, ...rest });
    },
    addressAdd(change) {
      call(`addressAdd ${key(change)} ${change.address}`);
      const known = kernel.addresses.get(key(change)) ?? new Set();
      kernel.addresses.set(key(change), known.add(change.address));
    },
    addressDelete(change) {
      call(`addressDelete ${key(change)} ${change.address}`);
      if (!kernel.addresses.get(key(change))?.delete(change.address) && !kernel.own.includes(change.address))
        throw systemError('EADDRNOTAVAIL', 99, 'netlink RTM_DELADDR');
    },
    addressList: () =>
      kernel.own.map((address) => {
        const family = address.includes(':') ? 6 : 4;
        return { index: 2, name: 'eth0', address, prefixLen: family === 4 ? 24 : 64, family };
      }),
    neighbourList: () => [],
    neighbourUse() {},
    routeAdd(change) {
      const { netns = '', prefix, via = null, device = null } = change;
      call(`routeAdd ${netns} ${prefix} ${via} ${device}`);
      const at = `${netns} ${prefix}`;
      if (kernel.routes.has(at)) throw systemError('EEXIST', 17, 'netlink RTM_NEWROUTE');
      kernel.routes.set(at, route({ prefix, via, device, protocol: ROUTE_PROTOCOL }));
    },
    routeDelete({ netns = '', prefix, device }) {
      call(`routeDelete ${netns} ${prefix}`);
      const at = `${netns} ${prefix}`;
      if (kernel.routes.get(at)?.device !== device) throw systemError('ESRCH', 3, 'netlink RTM_DELROUTE');
      kernel.routes.delete(at);
    },
    routeList: ({ netns = '' } = {}) =>
      [...kernel.routes].filter(([at]) => at.startsWith(`${netns} `)).map(([, found]) => found),
    rawOpen(request: RawRequest) {
      call(`rawOpen ${request.address} protocol ${request.protocol}${request.sink ? ' sink' : ''}`);
      if (!kernel.own.includes(request.address)) throw systemError('EADDRNOTAVAIL', 99, 'bind');
      const fd = nextFd++;
      kernel.open.set(fd, `raw ${request.protocol}${request.sink ? ' sink' : ''}`);
      return { fd, rcvbuf: kernel.udpGives.rcvbuf, sndbuf: 0 };
    },
    udpOpen(request: UdpRequest) {
      call(
        `udpOpen ${request.address}:${request.port}${request.sink ? ' sink' : ''}${request.reusePort ? ' reuse' : ''}`,
      );
      if (!kernel.own.includes(request.address)) throw systemError('EADDRNOTAVAIL', 99, 'bind');
      const isTaken = [...bound.values()].includes(`${request.address} ${request.port}`);
      if (kernel.busy.has(request.port) || (!request.reusePort && isTaken)) throw systemError('EADDRINUSE', 98, 'bind');
      const fd = nextFd++;
      const port = request.port === 0 ? 40000 + fd : request.port;
      kernel.open.set(fd, `udp ${port}`);
      bound.set(fd, `${request.address} ${port}`);
      const gro = kernel.udpGives.gro && request.gro === true;
      return { fd, port, sndbuf: 0, ...kernel.udpGives, gro, segment: kernel.udpGives.segment && !request.noChecksum };
    },
    close(fd) {
      const what = kernel.open.get(fd);
      if (what === undefined) throw systemError('EBADF', 9, 'close');
      kernel.open.delete(fd);
      bound.delete(fd);
      const made = /^t[au][pn] (.*) created$/.exec(what)?.[1];
      if (!made || [...kernel.open.values()].includes(what)) return;
      kernel.links.delete(made);
      ours.delete(made);
      kernel.addresses.delete(made);
    },
  };
  return kernel;
}

export interface FakeDataplane extends Dataplane {
  /** Workers that threads were asked for, in order. */
  staffed: number[];
  plans: Plan[];
  devices: WorkerDevices[];
  rows: MacRow[];
  flushed: object[];
  stopped: boolean;
  failApply: Error | null;
  record:
    | ((record: { direction: 'in' | 'out'; seconds: number; originalLength: number; bytes: Uint8Array }) => void)
    | null;
}

export function fakeDataplane(): FakeDataplane {
  const counters = [new Float64Array(makeCounterBlock())];
  const plane: FakeDataplane = {
    staffed: [],
    plans: [],
    devices: [],
    rows: [],
    flushed: [],
    stopped: false,
    failApply: null,
    record: null,
    events: new EventEmitter() as Dataplane['events'],
    counters,
    prepare() {},
    async start(plan, devices) {
      plane.plans.push(plan);
      plane.devices = devices;
    },
    async staff(workers) {
      plane.staffed.push(workers);
    },
    async apply(plan, devices) {
      const failure = plane.failApply;
      plane.failApply = null;
      if (failure) throw failure;
      plane.plans.push(plan);
      plane.devices = devices;
    },
    async stop() {
      plane.stopped = true;
    },
    macs: () => plane.rows,
    neighbours: () => [],
    nextHop: () => ({ state: 'resolving', mac: 0 }),
    setNextHop() {},
    workers: () => [
      { index: 0, threadId: 1, state: 'running', restarts: 0, turns: 5, isSleeping: true, cpu: null, lastError: null },
    ],
    slots: () => [{ total: 328, free: 328, held: 0 }],
    gsoFallbacks: () => [0],
    dpdkFrames() {
      throw new Error('a fake dataplane has no memory for DPDK');
    },
    dropDpdk() {},
    flushMacs(filter) {
      plane.flushed.push(filter);
      return 0;
    },
    drainHeartbeats() {},
    capture(_port, _snap, onRecord) {
      plane.record = onRecord;
      return {
        started: Promise.resolve(),
        missed: () => 0,
        stop() {
          plane.record = null;
        },
      };
    },
  };
  return plane;
}
