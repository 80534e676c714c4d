// A node's workers without root: a TAP is a named pipe, peers are sockets on loopback addresses, outer frames go to a capture file. Needs
// the built package (worker threads cannot run TypeScript) and the native addon.
import { execFileSync } from 'node:child_process';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync, statSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import { type Tun, tun } from '../../src/native/tun.js';
import type { Plan, PortPlan, WorkerDevices } from '../../src/pipeline/plan.js';
import type { Supervisor, SupervisorOptions } from '../../src/worker/supervisor.js';
import { join } from './frames.js';
import type { VnetHeader } from './kernel.js';
import { network, peer } from './pipeline.js';

type SupervisorModule = typeof import('../../src/worker/supervisor.js');
const BUILT = new URL('../../dist/worker/supervisor.js', import.meta.url).href;

const VNET_BYTES = 12;
export const VNI = 41;
export const SELF = '127.0.0.1';
export const PEER = '127.0.0.2';

type Piped = 'web' | 'db' | 'routed' | 'cross';

export interface Supervised {
  readonly supervisor: Supervisor;
  plan: Plan;
  devices: WorkerDevices[];
  /** Files that ports and the frame underlay write. */
  readonly localFile: string;
  readonly wireFile: string;
  /** Puts a frame into the pipe of a port: the TAPs `web` of network 1, `db` of network 2 and `cross` of network 4, or the TUN `routed` of network 3. */
  inject(port: Piped, frame: Uint8Array, vnet?: Partial<VnetHeader>): void;
  /** Sends a datagram from the peer, or from another loopback address. */
  fromPeer(bytes: Uint8Array, address?: string): Promise<void>;
  /** Frames that went out of the TAP `web`: bytes that wait in its pipe, headers included. */
  written(): number;
  /** Datagrams that the peer was sent. */
  readonly received: Uint8Array[];
  start(): Promise<void>;
  /** Stops the workers and gives everything back. */
  end(): Promise<void>;
}

interface Pipe {
  path: string;
  fd: number;
}

function makePipe(folder: string, name: string): Pipe {
  const path = joinPath(folder, name);
  execFileSync('mkfifo', [path]);
  return { path, fd: openSync(path, constants.O_RDWR | constants.O_NONBLOCK) };
}

async function openPeer(address: string, port: number): Promise<Socket> {
  const socket = createSocket('udp4');
  socket.bind(port, address);
  await once(socket, 'listening');
  return socket;
}

const tap = (id: number, name: string, net: number, kind: 'tap' | 'tun' = 'tap'): PortPlan => ({
  id,
  name,
  network: net,
  kind,
  mtu: 1450,
  tap: null,
  pcap: null,
});

export const filePort = (
  id: number,
  name: string,
  net: number,
  output: string | null,
  input: string | null = null,
): PortPlan => ({
  ...tap(id, name, net),
  kind: 'pcap',
  pcap: { input, output },
});

interface Opened {
  addon: Tun;
  rx: { fd: number; port: number };
  tx: { fd: number }[];
  pipes: Record<Piped | 'webOut', Pipe>;
}

function openAll(folder: string): Opened {
  const addon = tun();
  const rx = addon.udpOpen({
    family: 4,
    address: SELF,
    port: 0,
    gro: true,
    recvTos: true,
    rxqOvfl: true,
    rcvbuf: 1 << 20,
  });
  const tx = [0, 1].map(() => addon.udpOpen({ family: 4, address: SELF, port: 0, sink: true, recvErr: true }));
  const pipe = (name: string) => makePipe(folder, name);
  const pipes = {
    web: pipe('web'),
    webOut: pipe('web-out'),
    db: pipe('db'),
    routed: pipe('routed'),
    cross: pipe('cross'),
  };
  return { addon, rx, tx, pipes };
}

function devicesOf({ rx, tx, pipes }: Opened): WorkerDevices {
  const reader = (port: number, { fd }: Pipe) => ({
    port,
    rxFd: fd,
    txFd: pipes.webOut.fd,
    vnetHdrLen: VNET_BYTES,
    offloads: 7,
  });
  const ports = [reader(1, pipes.web), reader(3, pipes.db), reader(4, pipes.routed), reader(5, pipes.cross)];
  return {
    ports,
    underlays: [{ underlay: 1, rxFds: [rx.fd], txFds: tx.map((t) => t.fd), protocols: [], gro: true, segment: true }],
  };
}

function planOf(peerPort: number, udpPort: number, localFile: string, wireFile: string): Plan {
  const underlay = {
    id: 1,
    name: 'loopback',
    underlay: 'loopback',
    kind: 'udp' as const,
    tunnel: 'vxlan' as const,
    address: SELF,
    device: null,
    udpPort,
    checksum: true,
    sourcePortFirst: 0,
    sourcePortCount: 2,
    dscp: 0,
    ttl: 64,
    // Frames with an unfinished checksum are wanted: they need the step that finishes it.
    deliverOffloadLeak: true,
    offloads: { segment: true, gro: true },
    frame: null,
  };
  const neighbours = { '198.18.0.2': '02:00:00:00:0a:02' };
  const frame = {
    kind: 'pcap' as const,
    name: 'wire',
    input: null,
    output: wireFile,
    mac: '02:00:00:00:0a:01',
    neighbours,
    popDepth: 0,
  };
  return {
    generation: 1,
    node: 'supervised',
    workers: 1,
    busyPollUs: 0,
    underlays: [underlay, { ...underlay, id: 2, name: 'wire', kind: 'frame', address: '198.18.0.1', frame }],
    networks: [
      network(1),
      network(2, { underlay: 2 }),
      network(3, { underlay: 0, mode: 'l3' }),
      network(4, { underlay: 0, mode: 'xconnect' }),
    ],
    ports: [
      tap(1, 'web', 1),
      filePort(2, 'file', 1, localFile),
      tap(3, 'db', 2),
      tap(4, 'routed', 3, 'tun'),
      tap(5, 'cross', 4),
      filePort(6, 'far', 4, null),
    ],
    peers: [peer(1, 1, PEER, { udpPort: peerPort }), peer(2, 2, '198.18.0.2', { underlay: 2 })],
    statics: [],
    staticNeighbours: [],
    routes: [],
  };
}

/** Bytes that wait in a pipe; reads them. */
function drainPipe(fd: number): number {
  const chunk = new Uint8Array(65536);
  let total = 0;
  for (;;) {
    try {
      total += readSync(fd, chunk);
    } catch {
      return total; // EAGAIN
    }
  }
}

export async function supervise(options: Partial<SupervisorOptions> = {}): Promise<Supervised> {
  const { createSupervisor } = (await import(BUILT)) as SupervisorModule;
  const folder = mkdtempSync(joinPath(tmpdir(), 'weft-workers-'));
  const opened = openAll(folder);
  const { addon, rx, tx, pipes } = opened;
  const far = await openPeer(PEER, 0);
  const received: Uint8Array[] = [];
  far.on('message', (bytes) => received.push(Uint8Array.from(bytes)));
  const localFile = joinPath(folder, 'local.pcapng');
  const wireFile = joinPath(folder, 'wire.pcapng');
  const others = new Map<string, Socket>();

  function send(socket: Socket, bytes: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      socket.send(bytes, rx.port, SELF, (error) => (error ? reject(error) : resolve()));
    });
  }

  async function socketOf(address: string): Promise<Socket> {
    const socket = others.get(address) ?? (await openPeer(address, 0));
    others.set(address, socket);
    return socket;
  }

  const node: Supervised = {
    supervisor: createSupervisor({ workers: 1, ...options }),
    plan: planOf(far.address().port, rx.port, localFile, wireFile),
    devices: [devicesOf(opened)],
    localFile,
    wireFile,
    received,
    inject(port, frame, vnet) {
      const le = (n = 0) => [n & 255, n >>> 8];
      const header = join(
        vnet?.flags ?? 0,
        vnet?.gsoType ?? 0,
        [0, 0],
        le(vnet?.gsoSize),
        le(vnet?.csumStart),
        le(vnet?.csumOffset),
        [0, 0],
      );
      writeSync(pipes[port].fd, join(header, frame));
    },
    fromPeer(bytes, address = PEER) {
      // At once where the socket is there: a test may end a worker in the same breath.
      return address === PEER ? send(far, bytes) : socketOf(address).then((socket) => send(socket, bytes));
    },
    written: () => drainPipe(pipes.webOut.fd),
    start: () => node.supervisor.start(node.plan, node.devices),
    async end() {
      await node.supervisor.stop();
      for (const { fd } of [rx, ...tx]) addon.close(fd);
      for (const { fd } of Object.values(pipes)) closeSync(fd);
      await Promise.all([far, ...others.values()].map((s) => new Promise<void>((done) => s.close(() => done()))));
      rmSync(folder, { recursive: true });
    },
  };
  return node;
}

export const sizeOf = (file: string) => statSync(file).size;
