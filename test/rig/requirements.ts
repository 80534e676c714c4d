// What a test needs of the machine. A test that cannot run here is skipped, never silently: the reason stands in its suite's name
// and in the report at the end of the run.
import { spawnSync } from 'node:child_process';
import { closeSync, constants, existsSync, openSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, describe } from 'vitest';
// biome-ignore lint/correctness/useImportExtensions: the set-up is made of .mjs files
import { reserveHugepages } from '../../setup/hugepages.mjs';
import { canSanitize } from './sanitized.js';

const hasCommand = (name: string) => spawnSync('sh', ['-c', `command -v ${name}`]).status === 0;

function tunOpens(): boolean {
  try {
    closeSync(openSync('/dev/net/tun', constants.O_RDWR));
    return true;
  } catch {
    return false;
  }
}

/** Whether `command` works in a network namespace of its own, which ends with it. */
const worksApart = (...command: string[]) => spawnSync('unshare', ['--net', ...command]).status === 0;

const built = (path: string) => existsSync(fileURLToPath(new URL(`../../${path}`, import.meta.url)));

/** What tests with huge pages may count on, of 2 MB each. */
export const HUGEPAGES = 192;

let giveBackHugepages = () => {};

function hugepagesHeld(): boolean {
  const answer = reserveHugepages(HUGEPAGES);
  if ('lack' in answer) console.error(answer.lack);
  else giveBackHugepages = answer.release;
  return !('lack' in answer);
}

const needs = {
  root: { isMet: () => process.getuid?.() === 0, lack: 'root' },
  tun: { isMet: tunOpens, lack: 'a usable /dev/net/tun' },
  addon: { isMet: () => built('native/tun/weft_tun.node'), lack: 'the native addon (npm run build:native)' },
  dpdk: {
    isMet: () => built('native/dpdk/weft_dpdk.node'),
    lack: 'the DPDK addon (libdpdk-dev, and "npm run build")',
  },
  sanitizer: {
    isMet: canSanitize,
    lack: 'the DPDK addon with AddressSanitizer ("node setup.mjs --only dpdk-sanitized")',
  },
  compiler: {
    isMet: () => hasCommand('cc') && spawnSync('pkg-config', ['--exists', 'libdpdk']).status === 0,
    lack: 'a C compiler and libdpdk-dev',
  },
  testpmd: { isMet: () => hasCommand('dpdk-testpmd'), lack: 'the dpdk-testpmd command (dpdk-dev)' },
  hugepages: { isMet: hugepagesHeld, lack: `${HUGEPAGES} huge pages of 2 MB` },
  ip: { isMet: () => hasCommand('ip'), lack: 'the ip command (iproute2)' },
  iperf3: { isMet: () => hasCommand('iperf3'), lack: 'the iperf3 command' },
  ping: { isMet: () => hasCommand('ping'), lack: 'the ping command (iputils-ping)' },
  ethtool: { isMet: () => hasCommand('ethtool'), lack: 'the ethtool command' },
  nft: { isMet: () => worksApart('nft', 'add', 'table', 'ip', 'nat'), lack: 'the nft command, and NAT in this kernel' },
  tshark: { isMet: () => hasCommand('tshark'), lack: 'the tshark command' },
  tcpdump: { isMet: () => hasCommand('tcpdump'), lack: 'the tcpdump command' },
  python3: { isMet: () => hasCommand('python3'), lack: 'Python 3' },
  vxlan: {
    isMet: () => worksApart('ip', 'link', 'add', 'x0', 'type', 'vxlan', 'id', '1', 'dstport', '4789'),
    lack: 'VXLAN in this kernel',
  },
  vlan: {
    isMet: () =>
      worksApart('sh', '-c', 'ip link add x0 type veth peer name x1 && ip link add link x0 name x2 type vlan id 2'),
    lack: 'VLAN devices (802.1Q) in this kernel',
  },
  bridge: { isMet: () => worksApart('ip', 'link', 'add', 'x0', 'type', 'bridge'), lack: 'bridges in this kernel' },
  openVswitch: {
    isMet: () => hasCommand('ovsdb-server') && built('.setup/openvswitch.stamp'),
    lack: 'Open vSwitch (openvswitch-common, and what "node setup.mjs --for test" unpacks)',
  },
  openVswitchDpdk: {
    isMet: () => built('.setup/openvswitch/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk'),
    lack: 'Open vSwitch over DPDK (what "node setup.mjs --for test" unpacks)',
  },
  guest: {
    isMet: () => hasCommand('qemu-system-x86_64') && built('.setup/guest.stamp'),
    lack: 'a guest (qemu-system-x86, and the kernel that "node setup.mjs --for test" unpacks)',
  },
  scapy: {
    isMet: () => spawnSync('python3', ['-c', 'import scapy']).status === 0,
    lack: 'scapy for Python 3 (python3-scapy)',
  },
};

export type Need = keyof typeof needs;

const met = new Map<Need, boolean>();

/** True when the machine has `need`; asked once a process. */
export function isMet(need: Need): boolean {
  let answer = met.get(need);
  if (answer === undefined) {
    answer = needs[need].isMet();
    met.set(need, answer);
  }
  return answer;
}

/** `describe` for tests that need something of the machine: skipped, with the reason in the suite's name, where it is not there. */
export function describeWith(wanted: Need[], name: string, body: () => void): void {
  const lacks = wanted.filter((need) => !isMet(need)).map((need) => needs[need].lack);
  if (lacks.length > 0) {
    giveBackHugepages();
    describe.skip(`${name} (skipped: needs ${lacks.join(', ')})`, body);
    return;
  }
  describe(name, () => {
    // Vitest ends its processes without their exit handlers. The first to be registered runs last.
    afterAll(() => giveBackHugepages());
    body();
  });
}
