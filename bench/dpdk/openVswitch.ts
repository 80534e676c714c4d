import { createConnection } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { background, must, sleep } from '../../dist/cli/lab/commands.js';
import type { Undo } from '../../dist/cli/lab/undo.js';
import { inside, makeNamespace } from '../system/rig.js';
import { OWN, PEER } from './captures.js';
import { wake } from './contestant.js';

const unpacked = (path: string) => fileURLToPath(new URL(`../../.setup/openvswitch/usr/${path}`, import.meta.url));
export const SWITCH = unpacked('lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk');
const SCHEMA = unpacked('share/openvswitch/vswitch.ovsschema');
const VSCTL = unpacked('bin/ovs-vsctl');

export const UNDERLAY_BRIDGE = 'br-phy';
export const OVERLAY_BRIDGE = 'br-int';
/** DPDK's memory of the switch. */
const MEMORY_MB = 512;
/** Huge pages that it was seen to take: DPDK fills in what alignment leaves. */
export const SWITCH_HUGEPAGES = MEMORY_MB;
const START_MS = 20_000;
/** Flows that are not hit while the switch is stopped must outlive the turn of the others. */
const MAX_IDLE_MS = 600_000;

/** Open vSwitch over DPDK in a namespace of its own, with one poll-mode thread on `cpu`. */
export interface OpenVswitch {
  pid: number;
  vsctl(...args: string[]): Promise<string>;
  /** Replaces the flows of a bridge. */
  setFlows(bridge: string, ...flows: string[]): Promise<void>;
  /** A command of the daemon, as ovs-appctl gives it. */
  command(method: string, ...params: string[]): Promise<string>;
  /** Packets that have left through a port of a bridge. */
  sent(bridge: string, ofport: number): Promise<number>;
  /** The same many times over. */
  commands(calls: readonly [string, string[]][]): Promise<string[]>;
  namespace: string;
}

/** Several commands over one connection: the daemon speaks JSON-RPC, and one process for each of thousands would take a minute. */
export function callMany(socket: string, calls: readonly [string, string[]][]): Promise<string[]> {
  return new Promise((resolve, reject) => {
    const answers: string[] = [];
    const connection = createConnection(socket);
    let text = '';
    connection.setTimeout(START_MS, () => connection.destroy(new Error('Open vSwitch does not answer')));
    connection.on('error', reject);
    connection.on('data', (chunk) => {
      text += chunk;
      for (let end = documentEnd(text); end > 0; end = documentEnd(text)) {
        const { result, error } = JSON.parse(text.slice(0, end)) as { result: string | null; error: string | null };
        text = text.slice(end);
        if (error !== null) connection.destroy(new Error(`Open vSwitch: ${error}`));
        answers.push(result ?? '');
        if (answers.length === calls.length) {
          connection.end();
          resolve(answers);
        }
      }
    });
    connection.write(calls.map(([method, params], id) => JSON.stringify({ id, method, params })).join(''));
  });
}

/** End of the first whole JSON object of a stream; 0 when it is not there yet. */
export function documentEnd(text: string): number {
  let depth = 0;
  let isString = false;
  for (let at = 0; at < text.length; at++) {
    const c = text[at];
    if (isString) {
      if (c === '\\') at++;
      else if (c === '"') isString = false;
    } else if (c === '"') isString = true;
    else if (c === '{') depth++;
    else if (c === '}' && --depth === 0) return at + 1;
  }
  return 0;
}

export async function startOpenVswitch(
  folder: string,
  cpu: number,
  undo: Undo,
  signal: AbortSignal,
): Promise<OpenVswitch> {
  const namespace = await makeNamespace('ovs', undo, signal);
  await must(['ovsdb-tool', 'create', join(folder, 'conf.db'), SCHEMA], signal);
  const variables = ['OVS_RUNDIR', 'OVS_DBDIR', 'OVS_LOGDIR'].map((name) => `${name}=${folder}`);
  const start = (name: string, command: string, ...args: string[]) => {
    const own = [`--unixctl=${folder}/${name}.ctl`, '-vconsole:warn'];
    const program = ['env', ...variables, command, ...args, ...own];
    const daemon = background(inside({ netns: namespace }, ...program), join(folder, `${name}.log`));
    undo.add(() => {
      wake(daemon.pid);
      return daemon.end();
    });
    return daemon;
  };
  const remote = `unix:${folder}/db.sock`;
  start('database', 'ovsdb-server', `${folder}/conf.db`, `--remote=p${remote}`);
  const vsctl = (...args: string[]) => must([VSCTL, `--db=${remote}`, '--timeout=15', ...args], signal);
  await until('the database of Open vSwitch', () => vsctl('--no-wait', 'init'), signal);
  await vsctl(
    ...['--no-wait', 'set', 'Open_vSwitch', '.', 'other_config:dpdk-init=true'],
    `other_config:dpdk-extra="--no-pci --in-memory --file-prefix=wt-${process.pid}-ovs"`,
    ...['mem', 'limit'].map((what) => `other_config:dpdk-socket-${what}=${MEMORY_MB}`),
    `other_config:pmd-cpu-mask=0x${(2 ** cpu).toString(16)}`,
    'other_config:dpdk-lcore-mask=0x1',
    // The pool for all ports is first tried for more than there is: a machine that connects meanwhile gets no memory for its rings.
    'other_config:per-port-memory=true',
    `other_config:max-idle=${MAX_IDLE_MS}`,
  );
  const daemon = start('switch', SWITCH, remote);
  const socket = join(folder, 'switch.ctl');
  const command = async (method: string, ...params: string[]) => (await callMany(socket, [[method, params]]))[0];
  await until('Open vSwitch', () => command('version'), signal);
  const ofctl = (...args: string[]) => must(['ovs-ofctl', '-O', 'OpenFlow15', ...args], signal);
  return {
    namespace,
    pid: daemon.pid,
    vsctl,
    command,
    commands: (calls) => callMany(socket, calls),
    async setFlows(bridge, ...flows) {
      const place = `unix:${folder}/${bridge}.mgmt`;
      await ofctl('del-flows', place);
      for (const flow of flows) await ofctl('add-flow', place, flow);
    },
    async sent(bridge, ofport) {
      const text = await ofctl('dump-ports', `unix:${folder}/${bridge}.mgmt`, `${ofport}`);
      const packets = /tx pkts=(\d+)/.exec(text)?.[1];
      if (packets === undefined) throw new Error(`Open vSwitch counts nothing: ${text}`);
      return Number(packets);
    },
  };
}

async function until(what: string, attempt: () => Promise<unknown>, signal: AbortSignal): Promise<void> {
  for (let waited = 0; ; waited += 50) {
    signal.throwIfAborted();
    try {
      await attempt();
      return;
    } catch (error) {
      if (waited >= START_MS) throw new Error(`${what} does not answer`, { cause: error });
    }
    await sleep(50);
  }
}

const bridge = (name: string, ...settings: string[]) => [
  ...['add-br', name, '--', 'set', 'bridge', name, 'datapath_type=netdev', 'fail-mode=secure', ...settings],
];

export const dpdkPort = (on: string, name: string, ofport: number, devargs: string) => [
  ...['add-port', on, name, '--', 'set', 'interface', name, 'type=dpdk'],
  ...[`options:dpdk-devargs="${devargs}"`, `ofport_request=${ofport}`],
];

/** Two bridges as its manual has them for tunnels in user space: br-phy with the endpoint's address, br-int with the tunnel as port 2. */
export async function makeBridges(ovs: OpenVswitch, vni: number, signal: AbortSignal): Promise<void> {
  await ovs.vsctl(...bridge(UNDERLAY_BRIDGE, `other-config:hwaddr=${OWN.mac}`));
  // Room for all stations of the benchmark.
  await ovs.vsctl(...bridge(OVERLAY_BRIDGE, 'other-config:mac-table-size=16384'));
  const tunnel = ['type=vxlan', `options:remote_ip=${PEER.address}`, `options:key=${vni}`, 'ofport_request=2'];
  await ovs.vsctl('add-port', OVERLAY_BRIDGE, 'tunnel', '--', 'set', 'interface', 'tunnel', ...tunnel);
  const ip = (...args: string[]) => must(['ip', '-n', ovs.namespace, ...args], signal);
  await ip('address', 'add', `${OWN.address}/24`, 'dev', UNDERLAY_BRIDGE);
  await ip('link', 'set', UNDERLAY_BRIDGE, 'up');
  await ovs.command('tnl/neigh/set', UNDERLAY_BRIDGE, PEER.address, PEER.mac);
}

/** Places stations of the overlay behind a port, for good. */
export async function placeStations(ovs: OpenVswitch, port: string, macs: readonly string[]): Promise<void> {
  await ovs.commands(macs.map((mac) => ['fdb/add', [OVERLAY_BRIDGE, port, '0', mac]]));
}

const QUIET_MS = 200;
const QUIET_MAX_MS = 15_000;

/** Of no use where there are more flows than it has room for (8192): without it a packet then costs a third less. */
export const turnExactMatchOff = (ovs: OpenVswitch) =>
  ovs.vsctl('set', 'Open_vSwitch', '.', 'other_config:emc-insert-inv-prob=0');

/** Waits until no packet needs the slow path any more: all flows of the traffic are in the fast one. */
export async function settled(ovs: OpenVswitch, signal: AbortSignal): Promise<void> {
  const upcalls = async () => slowPackets(await ovs.command('dpif-netdev/pmd-stats-show'));
  let before = await upcalls();
  for (let waited = 0; waited < QUIET_MAX_MS; waited += QUIET_MS) {
    signal.throwIfAborted();
    await sleep(QUIET_MS);
    const now = await upcalls();
    if (now === before) return;
    before = now;
  }
  throw new Error('the traffic does not fit into the caches of Open vSwitch');
}

/** Packets that went to the slow path, of all threads. `text` is what `dpif-netdev/pmd-stats-show` prints. */
export function slowPackets(text: string): number {
  return [...text.matchAll(/miss with (?:success|failed) upcall: (\d+)/g)].reduce((sum, [, n]) => sum + Number(n), 0);
}
