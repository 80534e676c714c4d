// Open vSwitch with its userspace datapath: a private instance in a namespace, with database, sockets and logs in a folder of the test.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { runIn, startIn, type VethEnd } from './namespaces.js';
import { runToEnd, scratchFile } from './node.js';
import { until } from './waiting.js';

const unpacked = (path: string) => fileURLToPath(new URL(`../../.setup/openvswitch/usr/${path}`, import.meta.url));
const SCHEMA = unpacked('share/openvswitch/vswitch.ovsschema');
const SWITCH = unpacked('lib/openvswitch-switch/ovs-vswitchd');
const DPDK_SWITCH = unpacked('lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk');
const VSCTL = unpacked('bin/ovs-vsctl');

/** Its bridges are TAP devices of the namespace: one with the underlay's address, one in the overlay. */
export const UNDERLAY_BRIDGE = 'br-phy';
export const OVERLAY_BRIDGE = 'br-int';
/** OpenFlow number of the tunnel port. */
export const TUNNEL_PORT = 10;
const TUNNEL = 'tunnel';

export interface TunnelSettings {
  type: 'vxlan' | 'geneve' | 'gre';
  remote: string;
  /** Other options of the interface: `key`, `csum`, `seq`, `dst_port`, `exts`, `tos`... */
  options?: Record<string, string>;
  /** Flows of the overlay bridge; default: all from one port goes to the other. */
  flows?: string[];
}

export interface TunnelCounts {
  rxPackets: number;
  txPackets: number;
}

const PATCHED = [`in_port=${TUNNEL_PORT},actions=LOCAL`, `in_port=LOCAL,actions=output:${TUNNEL_PORT}`];

export class OpenVswitch {
  readonly namespace: string;
  readonly #folder: string;

  constructor(namespace: string, folder: string) {
    this.namespace = namespace;
    this.#folder = folder;
  }

  #run(command: string, args: string[]): string {
    return execFileSync('ip', ['netns', 'exec', this.namespace, command, ...args], {
      encoding: 'utf8',
      env: { ...process.env, OVS_RUNDIR: this.#folder, OVS_DBDIR: this.#folder, OVS_LOGDIR: this.#folder },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: 20_000,
    });
  }

  vsctl = (...args: string[]) => this.#run(VSCTL, [`--db=unix:${this.#folder}/db.sock`, ...args]);
  ofctl = (...args: string[]) => this.#run('ovs-ofctl', ['-O', 'OpenFlow15', ...args]);
  appctl = (...args: string[]) => this.#run('ovs-appctl', ['-t', `${this.#folder}/switch.ctl`, ...args]);

  /** What the switch logged. */
  get log(): string {
    return readFileSync(`${this.#folder}/switch.log`, 'utf8');
  }

  /** Makes the tunnel, in place of the one before. */
  setTunnel({ type, remote, options = {}, flows = PATCHED }: TunnelSettings): void {
    const settings = Object.entries({ remote_ip: remote, ...options }).map(([key, value]) => `options:${key}=${value}`);
    const port = ['add-port', OVERLAY_BRIDGE, TUNNEL, '--', 'set', 'interface', TUNNEL];
    port.push(`ofport_request=${TUNNEL_PORT}`, `type=${type}`, ...settings);
    this.vsctl('--if-exists', 'del-port', TUNNEL, '--', ...port);
    const error = this.vsctl('get', 'interface', TUNNEL, 'error').trim();
    if (error !== '[]') throw new Error(`Open vSwitch refuses the tunnel: ${error}`);
    this.ofctl('del-flows', OVERLAY_BRIDGE);
    for (const flow of flows) this.ofctl('add-flow', OVERLAY_BRIDGE, flow);
  }

  /** Names Geneve options as metadata fields: `{class=0x0102,type=0x80,len=8}->tun_metadata0`. */
  mapOptions(...maps: string[]): void {
    // A field that a flow uses stays.
    this.ofctl('del-flows', OVERLAY_BRIDGE);
    this.ofctl('del-tlv-map', OVERLAY_BRIDGE);
    this.ofctl('add-tlv-map', OVERLAY_BRIDGE, maps.join(','));
  }

  /** Packets that each flow of the overlay bridge has matched, by the text of its match. */
  flowPackets(): Map<string, number> {
    this.appctl('revalidator/purge');
    const lines = this.ofctl('dump-flows', OVERLAY_BRIDGE).matchAll(
      /n_packets=(\d+).*?(?:priority=\d+,?)?(\S*) actions=/g,
    );
    return new Map([...lines].map(([, packets, match]) => [match, Number(packets)]));
  }

  /** What the tunnel's port counted. */
  tunnelCounts(): TunnelCounts {
    // Packets of a cached flow are counted when the cache gives it back.
    this.appctl('revalidator/purge');
    const text = this.ofctl('dump-ports', OVERLAY_BRIDGE, `${TUNNEL_PORT}`);
    const [, rxPackets, txPackets] = /rx pkts=(\d+)[\s\S]*tx pkts=(\d+)/.exec(text) ?? [];
    return { rxPackets: Number(rxPackets), txPackets: Number(txPackets) };
  }
}

export interface SwitchOptions {
  /** Device and address of the underlay; the device becomes a port of the underlay bridge, which takes its address. */
  host: VethEnd;
  /** Addresses with prefix lengths of the overlay bridge. */
  addresses: string[];
  overlayMtu?: number;
}

/** Starts a database and a switch, both ended by `removeNamespaces` at the latest. `settings` of the switch are there when it starts. */
async function launch(namespace: string, program: string, settings: string[] = []): Promise<OpenVswitch> {
  const folder = scratchFile('ovs');
  mkdirSync(folder);
  const created = await runToEnd('ovsdb-tool', ['create', `${folder}/conf.db`, SCHEMA]);
  if (created.status !== 0) throw new Error(`ovsdb-tool: ${created.stderr}`);

  // The folder is in every path: nothing of an installed Open vSwitch is read or written.
  const variables = ['OVS_RUNDIR', 'OVS_DBDIR', 'OVS_LOGDIR'].map((name) => `${name}=${folder}`);
  const start = (command: string, name: string, ...args: string[]) => {
    const own = [`--unixctl=${folder}/${name}.ctl`, `--log-file=${folder}/${name}.log`, '-vconsole:off'];
    return startIn(namespace, 'env', ...variables, command, ...args, ...own);
  };
  const database = start('ovsdb-server', 'database', `${folder}/conf.db`, `--remote=punix:${folder}/db.sock`);
  const openVswitch = new OpenVswitch(namespace, folder);
  if (settings.length > 0) {
    await until('the database answers', () => existsSync(`${folder}/db.sock`));
    openVswitch.vsctl('--no-wait', 'init', '--', 'set', 'Open_vSwitch', '.', ...settings);
  }
  const daemon = start(program, 'switch', `unix:${folder}/db.sock`);
  await until(
    'Open vSwitch answers',
    () => {
      if (database.exitCode !== null || daemon.exitCode !== null) throw new Error('Open vSwitch ended at its start');
      try {
        return openVswitch.vsctl('--timeout=1', 'show') !== '';
      } catch {
        return false;
      }
    },
    { withinMs: 15_000 },
  );
  return openVswitch;
}

function addBridge(ovs: OpenVswitch, name: string, ...settings: string[]): void {
  const bridge = ['add-br', name, '--', 'set', 'bridge', name, 'datapath_type=netdev', ...settings];
  try {
    ovs.vsctl('--timeout=15', ...bridge);
  } catch (cause) {
    throw new Error(`Open vSwitch does not make ${name}, and says:\n${ovs.log}`, { cause });
  }
}

/** Makes the two bridges. */
export async function startOpenVswitch({ host, addresses, overlayMtu = 1400 }: SwitchOptions): Promise<OpenVswitch> {
  const { namespace, device, address } = host;
  const openVswitch = await launch(namespace, SWITCH);
  addBridge(openVswitch, UNDERLAY_BRIDGE);
  // The namespace's own stack hears the device too: without this it would answer for the bridge's address.
  runIn(namespace, 'ip', 'address', 'flush', 'dev', device);
  runIn(namespace, 'ip', 'link', 'set', device, 'arp', 'off');
  openVswitch.vsctl('add-port', UNDERLAY_BRIDGE, device);
  addBridge(openVswitch, OVERLAY_BRIDGE, 'fail-mode=secure');
  runIn(namespace, 'ip', 'address', 'add', address, 'dev', UNDERLAY_BRIDGE);
  for (const overlay of addresses) runIn(namespace, 'ip', 'address', 'add', overlay, 'dev', OVERLAY_BRIDGE);
  runIn(namespace, 'ip', 'link', 'set', UNDERLAY_BRIDGE, 'up');
  runIn(namespace, 'ip', 'link', 'set', OVERLAY_BRIDGE, 'mtu', `${overlayMtu}`, 'up');
  return openVswitch;
}

/** MiB of huge pages that the switch over DPDK takes, and what its bridges can send at most. */
const DPDK_MEMORY = 256;
const DPDK_MTU = 1400;

/**
 * The switch over DPDK, all of whose work is done by one thread on CPU 1. Its bridges switch by MAC, and each has a device of DPDK and, as its own
 * interface in the namespace, an address.
 */
export async function startOpenVswitchDpdk(namespace: string): Promise<OpenVswitch> {
  const eal = `--no-pci --in-memory --single-file-segments --file-prefix=${namespace}`;
  const ovs = await launch(namespace, DPDK_SWITCH, [
    'other_config:dpdk-init=true',
    `other_config:dpdk-extra="${eal}"`,
    `other_config:dpdk-socket-mem=${DPDK_MEMORY}`,
    'other_config:pmd-cpu-mask=0x2',
    'other_config:dpdk-lcore-mask=0x1',
  ]);
  // Huge pages are cleared first, which takes a busy machine its time.
  const isReady = () => ovs.vsctl('--no-wait', 'get', 'Open_vSwitch', '.', 'dpdk_initialized').includes('true');
  await until('DPDK of Open vSwitch', isReady, { withinMs: 45_000, everyMs: 100 });
  return ovs;
}

export function addDpdkBridge(ovs: OpenVswitch, name: string, address: string, devargs: string | null): void {
  addBridge(ovs, name);
  if (devargs !== null) {
    const port = `${name}-dpdk`;
    const options = ['type=dpdk', `options:dpdk-devargs="${devargs}"`];
    ovs.vsctl('--timeout=15', 'add-port', name, port, '--', 'set', 'interface', port, ...options);
    const error = ovs.vsctl('get', 'interface', port, 'error').trim();
    if (error !== '[]') throw new Error(`Open vSwitch refuses ${devargs}: ${error}`);
  }
  runIn(ovs.namespace, 'ip', 'address', 'add', address, 'dev', name);
  runIn(ovs.namespace, 'ip', 'link', 'set', name, 'mtu', `${DPDK_MTU}`, 'up');
}
