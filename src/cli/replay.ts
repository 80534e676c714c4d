import { mkdir } from 'node:fs/promises';
import { type Command, InvalidArgumentError } from 'commander';
import { WeftError } from '../packet/error.js';
import type { ReplayProgress, ReplayReport } from '../replay/options.js';
import type { Outcome } from '../replay/report.js';
import type { Expectation, Verdict } from '../replay/verdict.js';
import { checkFile, problemsText } from './check.js';
import { EXIT_FAILED, EXIT_INCOMPLETE, EXIT_OK, EXIT_USAGE, exitCodeOf, fail, print, printJson } from './output.js';
import { integer } from './port.js';
import { checkOptions, editsOf, inputsOf, paceOf, type ReplayVerbOptions } from './replay/options.js';

const HELP = `
A capture runs through the same code as the frames of a live node, on a clock that follows its timestamps: the same input gives the same
bytes and counters. Without a configuration, packets are rewritten: --set, then --pop, then each --push, the last one outermost.

  --push   vxlan:vni=42,remote=A[,gpe,group=N]   geneve:vni=42,remote=A[,options=0102:80:00010002+014b:1]
           gre:remote=A[,key=N,csum,seq,l3]      ipip:remote=A   fou:remote=A   gue:remote=A
           and local=A, port=N, src-mac=M, dst-mac=M, ttl=N|inherit, dscp=N|inherit, mtu=N (of the outer link; packets that do not fit
           are dropped and counted; default: none), csum=on|off (of UDP). ipip, fou, gue and gre:l3 carry IP packets: the Ethernet
           header goes, and what is not IP is dropped.
  --pop    auto[:depth=N]: VXLAN, Geneve, GRE, IPIP, FOU and GUE, told by their ports and protocols, up to N of them (4) inside of
           each other.
  --set    dst-mac, src-mac, vlan (ID or none), src-ip, dst-ip, ttl, dscp, src-port, dst-port, vni; of the outermost header that has it,
           as the packet is read. Checksums follow.
  --ignore fields as tshark names them: ip.id, ip.ttl#2 (the second from the outside), udp.checksum, vxlan (all of it), data.

Exit codes: 0 good, 1 wrong usage, 2 failed or not as expected, 4 replayed, but an input is cut off or has packets that are.

Examples:
  weft replay in.pcap --config node.yaml --port web --out out.pcapng
  weft replay in.pcap --config node.yaml --expect golden.pcapng --expect-counters golden.json --junit report.xml
  weft replay in.pcap --push vxlan:vni=42,remote=198.18.0.2 --out out.pcapng
  tcpdump -i eth0 -w - udp port 4789 | weft replay - --pop auto --out - | tshark -r -
  weft replay in.pcap --set vlan=none --set dst-mac=02:00:00:00:00:01 --out out.pcapng
  weft replay in.pcap --config node.yaml --port tap0 --pps 10000 --loop 3`;

export function defineReplay(program: Command): void {
  program
    .command('replay')
    .summary('run captures through the switch: rewrite them, compare what comes out')
    .description('Runs captures (pcap, pcapng) through the switch, with files in place of its ports and underlays.')
    .argument('[captures...]', 'files to read, - for standard input')
    .option('--config <file>', 'configuration of the node that they go through')
    .option('--port <name>', 'port or underlay that they come in at (default: the only one)')
    .option('--map <file>', 'YAML file of lines CAPTURE: NAME, where NAME is a port or an underlay')
    .option('-o, --out <file>', 'one file for all that leaves (.pcap, else pcapng), - for standard output')
    .option('--out-dir <folder>', 'a file for each port and underlay, or, without --config, for each capture')
    .option('--only <names>', 'ports and underlays that are written, with commas (default: all)', list, undefined)
    .option('--push <spec>', 'put a tunnel on; may be repeated', collect, [])
    .option('--pop <spec>', 'take tunnels off: auto, auto:depth=N')
    .option('--set <field=value>', 'change a field of the packets as they are read; may be repeated', collect, [])
    .option('--expect <file>', 'compare the output with a capture, or with those of a folder')
    .option('--expect-counters <file>', 'compare the report with a part of one, in JSON')
    .option('--ignore <fields>', 'fields that do not matter, with commas', list, [])
    .option('--times', 'timestamps matter')
    .option('--json', 'print the report as JSON')
    .option('--junit <file>', 'write a report for CI servers, in JUnit XML')
    .option('--real', 'on the real clock, in the original timing, onto the real devices of the configuration')
    .option('--topspeed', 'on the real clock, as fast as it goes')
    .option('--multiplier <factor>', 'on the real clock, so many times the original speed', positive)
    .option('--pps <rate>', 'on the real clock, so many packets a second', positive)
    .option('--mbps <rate>', 'on the real clock, so many million bits a second', positive)
    .option('--loop <times>', 'read the captures so often, 0 for ever (real clock)', integer)
    .option('--limit <packets>', 'end after so many packets', integer)
    .option('--duration <sec>', 'end after so many seconds (of the capture, or of the real clock)', positive)
    .option('-q, --quiet', 'print no progress, and a summary only when something is wrong')
    .addHelpText('after', HELP)
    .action(async (captures: string[], options: ReplayVerbOptions) => {
      try {
        process.exitCode = await replayVerb(captures, options);
      } catch (error) {
        fail(error, error instanceof WeftError && error.code === 'USAGE' ? EXIT_USAGE : exitCodeOf(error));
      }
    });
}

/** Returns the exit code. */
async function replayVerb(captures: string[], options: ReplayVerbOptions): Promise<number> {
  checkOptions(captures, options);
  const { temporaryOutput } = await import('./replay/temporaryOutput.js');
  // What is compared has to be written somewhere.
  const isNeeded = options.expect !== undefined && options.out === undefined && options.outDir === undefined;
  const output = await temporaryOutput(isNeeded ? options.expect : undefined);
  try {
    const report = await run(captures, { ...options, ...output.options });
    if (report === null) return EXIT_FAILED;
    const verdict = await judged(report, options);
    return await tell(report, verdict, options);
  } finally {
    await output.remove();
  }
}

/** Null when the configuration is wrong, and it has been said. */
async function run(captures: string[], options: ReplayVerbOptions): Promise<ReplayReport | null> {
  const { createProgressBar } = await import('./replay/progress.js');
  const bar = createProgressBar();
  const stop = new AbortController();
  const onSignal = () => {
    if (stop.signal.aborted) process.exit(EXIT_FAILED);
    stop.abort();
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  try {
    return await start(captures, options, {
      out: options.out,
      outDir: options.outDir,
      limit: options.limit,
      durationSec: options.duration,
      signal: stop.signal,
      onProgress: (progress: ReplayProgress) => {
        if (!options.quiet) bar.show(progress);
      },
    });
  } finally {
    bar.end();
    process.removeListener('SIGINT', onSignal).removeListener('SIGTERM', onSignal);
  }
}

interface Surroundings {
  out?: string;
  outDir?: string;
  limit?: number;
  durationSec?: number;
  signal: AbortSignal;
  onProgress: (progress: ReplayProgress) => void;
}

async function start(captures: string[], options: ReplayVerbOptions, rest: Surroundings): Promise<ReplayReport | null> {
  const edits = editsOf(options.set);
  if (options.config === undefined) {
    const { rewrite } = await import('../replay/rewrite.js');
    return rewrite({ ...rest, inputs: captures, set: edits, pop: options.pop, push: options.push });
  }
  const { config, problems } = await checkFile(options.config);
  if (config === null) {
    process.stderr.write(`${problemsText(options.config, problems)}\n`);
    return null;
  }
  const pace = paceOf(options);
  if (rest.outDir !== undefined) await mkdir(rest.outDir, { recursive: true });
  const { replay } = await import('../replay/replay.js');
  return replay({
    ...rest,
    config,
    inputs: await inputsOf(captures, options, config),
    outOnly: options.only,
    edits,
    ...(pace === null && options.loop === undefined ? {} : { clock: 'real', pace: pace ?? {}, loop: options.loop }),
  });
}

async function judged(report: ReplayReport, options: ReplayVerbOptions): Promise<Verdict | null> {
  const { expect, expectCounters, ignore, times } = options;
  if (expect === undefined && expectCounters === undefined) return null;
  const { judge } = await import('../replay/verdict.js');
  const expectation: Expectation = { capture: expect, counters: expectCounters, ignore, times };
  return judge(report, expectation);
}

async function tell(report: ReplayReport, verdict: Verdict | null, options: ReplayVerbOptions): Promise<number> {
  const { outcome } = await import('../replay/report.js');
  const came = outcome(report, verdict);
  if (options.junit !== undefined) {
    const { junitXml } = await import('../replay/junit.js');
    const { writeFile } = await import('node:fs/promises');
    const name = `weft replay ${report.inputs.map((input) => input.file).join(' ')}`;
    await writeFile(options.junit, junitXml(report, verdict, name));
  }
  if (options.json) printJson({ ...report, verdict });
  else if (!options.quiet || came !== 'good') {
    const { summaryText } = await import('./replay/summary.js');
    const text = summaryText(report, verdict);
    if (options.out === '-') process.stderr.write(`${text}\n`);
    else print(text);
  }
  return EXIT_CODES[came];
}

const EXIT_CODES: { readonly [O in Outcome]: number } = {
  good: EXIT_OK,
  incomplete: EXIT_INCOMPLETE,
  failed: EXIT_FAILED,
};

function collect(value: string, before: string[]): string[] {
  return [...before, value];
}

function list(value: string, before: string[] | undefined): string[] {
  return [...(before ?? []), ...value.split(',').filter((word) => word !== '')];
}

function positive(text: string): number {
  const value = Number(text);
  if (/^\d+(\.\d+)?$/.test(text) && value > 0) return value;
  throw new InvalidArgumentError('It must be a number above 0.');
}
