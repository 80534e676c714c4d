/**
 * The report of the lab.
 */
import { cpus, release } from 'node:os';
import { argv } from 'node:process';
import type { DropsDocument, StatusDocument } from '../../observe/documents.js';
import { dropsText } from '../drops.js';
import { plural } from '../output.js';
import { pathLines, superframesOf } from '../status.js';
import { type Host, KERNEL_UDP_PORT, KERNEL_VNI, TAP, UPLINK, VNI } from './hosts.js';
import type { MachineFacts } from './machine.js';
import type { RoundTrip, Transfer } from './measure.js';

export interface Throughput {
  /** Median of the rounds. */
  gbitPerSec: number;
  retransmits: number;
  rounds: Transfer[];
}

export interface LabReport {
  /** Until both nodes ran. */
  builtMs: number;
  /** Start of the slower node. */
  readyMs: number;
  hosts: [Host, Host];
  /** The virtual machine that is the station of host a. */
  machine: MachineFacts | null;
  kept: boolean;
  durationSec: number;
  roundTrip: { weft: RoundTrip; kernel: RoundTrip | null };
  throughput: { weft: Throughput; kernel: Throughput | null };
  /** weft's throughput divided by that of the kernel's VXLAN; null when the kernel has none. */
  ratioToKernel: number | null;
  comparisonSkipped: string | null;
  /** `uncut`: veth with its default offloads. */
  rig: 'uncut';
  nodes: Record<'a' | 'b', { status: StatusDocument; drops: DropsDocument }>;
}

export function reportText(report: LabReport): string {
  const [a, b] = report.hosts;
  const parts = [
    'weft lab: two hosts on this machine, joined over VXLAN in user space',
    picture(a, b, report.machine !== null),
    builtText(report),
    pathText(report),
    figures(report),
    dropText(report),
    ...(report.kept ? [keptText(report)] : []),
  ];
  return parts.join('\n\n');
}

function picture(a: Host, b: Host, withMachine: boolean): string {
  const width = 28;
  const row = (left: string, wire: string, right: string) =>
    `  | ${left.padEnd(width)} |${wire}| ${right.padEnd(width)} |`;
  const edge = `+${'-'.repeat(width + 2)}+`;
  const gap = ' '.repeat(20);
  return [
    `    ${a.netns.padEnd(width + 24)}${b.netns}`,
    `  ${edge}${gap}${edge}`,
    row(`${withMachine ? 'machine' : TAP}  ${a.address}/24`, gap, `${TAP}  ${b.address}/24`),
    row(withMachine ? '  | vhost-user' : '  | TAP', gap, '  | TAP'),
    row(`weft node ${a.node}`, `   VXLAN, VNI ${VNI}    `, `weft node ${b.node}`),
    row('  | UDP port 4789', '<==================>', '  | UDP port 4789'),
    row(`${UPLINK}  ${a.underlayAddress}`, '     veth pair      ', `${UPLINK}  ${b.underlayAddress}`),
    `  ${edge}${gap}${edge}`,
  ].join('\n');
}

function builtText({ builtMs, readyMs, comparisonSkipped, hosts, machine }: LabReport): string {
  const [a, b] = hosts;
  const kernel =
    comparisonSkipped === null
      ? `beside it the kernel's own VXLAN over the same veth: VNI ${KERNEL_VNI}, UDP port ${KERNEL_UDP_PORT}, ${a.kernelAddress} and ${b.kernelAddress}`
      : `no comparison with the kernel: ${comparisonSkipped}`;
  return [
    `built     two network namespaces, a veth, two nodes, in ${builtMs} ms (a node is ready after ${readyMs} ms)`,
    `          ${kernel}`,
    ...(machine ? machineLines(machine, comparisonSkipped === null) : []),
    `machine   ${plural(cpus().length, 'CPU')}, Linux ${release()}, Node ${process.version}`,
    'rig       uncut: the veth has its default offloads, so packets of up to 64 KB cross it whole; a wire cuts them',
  ].join('\n');
}

function machineLines({ kernel, qemu, bootMs }: MachineFacts, isCompared: boolean): string[] {
  const lines = [`virtual   machine with Linux ${kernel}, emulated by QEMU ${qemu} without KVM, up after ${bootMs} ms`];
  if (isCompared) lines.push("          its way to the kernel's VXLAN: a second NIC on a TAP device and a bridge");
  return lines;
}

function pathText({ nodes }: LabReport): string {
  const { status } = nodes.a;
  const [port] = status.ports;
  const [underlay] = status.underlays;
  const lines = [
    `packet path (node ${status.node.name})`,
    port.device === null ? `  ${port.type} ${port.name}` : `  TAP ${port.device}`,
    ...pathLines(port.path, { send: superframesOf(port), receive: superframesOf(port) }).map((line) => `  ${line}`),
    `  underlay ${underlay.device}`,
    ...pathLines(underlay.path, { send: 'UDP_SEGMENT', receive: 'UDP_GRO' }).map((line) => `  ${line}`),
  ];
  return lines.join('\n');
}

function figures({ roundTrip, throughput, ratioToKernel, durationSec }: LabReport): string {
  const ms = (rtt: RoundTrip | null) =>
    rtt
      ? `min ${rtt.minMs.toFixed(3)} ms, average ${rtt.avgMs.toFixed(3)} ms, ${rtt.received} of ${rtt.sent} answered`
      : 'not measured';
  const rate = (t: Throughput) => {
    const each = t.rounds.map((round) => round.gbitPerSec.toFixed(2)).join(', ');
    return `${t.gbitPerSec.toFixed(2)} Gbit/s  (${each}; ${plural(t.retransmits, 'retransmit')})`;
  };
  const lines = ['round trip', `  weft     ${ms(roundTrip.weft)}`];
  if (roundTrip.kernel) lines.push(`  kernel   ${ms(roundTrip.kernel)}`);
  const { weft, kernel } = throughput;
  lines.push(
    '',
    `TCP, one stream, ${plural(weft.rounds.length, 'round')} of ${durationSec} s${kernel ? ' in turn' : ''}, median`,
  );
  lines.push(`  weft     ${rate(weft)}`);
  if (kernel) lines.push(`  kernel   ${rate(kernel)}`);
  if (ratioToKernel !== null) lines.push(`  ratio    ${ratioToKernel.toFixed(2)} of the kernel's VXLAN`);
  return lines.join('\n');
}

function dropText({ nodes }: LabReport): string {
  return Object.values(nodes)
    .map(({ status, drops }) => {
      const text = dropsText(drops).replaceAll('\n', '\n  ');
      return `drops of node ${status.node.name}\n  ${text}`;
    })
    .join('\n');
}

function keptText({ hosts, machine, nodes }: LabReport): string {
  const [a, b] = hosts;
  const weft = argv[1]?.endsWith('main.js') ? `node ${argv[1]}` : 'weft';
  return [
    'left up; look inside:',
    machine ? `  ip netns exec ${b.netns} ping ${a.address}` : `  ip netns exec ${a.netns} ping ${b.address}`,
    ...(machine ? [`  socat - ${machine.shell}     # a shell in the virtual machine`] : []),
    `  ${weft} status --node ${a.node}`,
    `  ${weft} drops --node ${b.node}`,
    `  ${weft} capture --node ${a.node} --on ${nodes.a.status.ports[0].name} -c 20 - | tshark -r -`,
    'and remove it:',
    `  ${weft} lab --remove`,
  ].join('\n');
}
