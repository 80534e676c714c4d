import { spawn, spawnSync } from 'node:child_process';
import { closeSync, openSync, readFileSync, rmSync, statfsSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { type Benchmark, numberOption, type OptionValues, UsageError } from '../benchmark.js';
import type { Findings } from '../report/report.js';
import { median, ratios } from '../report/statistics.js';
import { cell } from '../report/table.js';
import { withCleanUp } from './cleanUp.js';
import { readProcessSeconds } from './processes.js';
import { WEFT } from './rig.js';

/** What each run is timed over: a whole process, from its start to its end. */
interface Contestant {
  name: string;
  command(input: string, output: string): string[];
  seconds: number[];
  /** Of all its threads. */
  cpuSeconds: number[];
  peakBytes: number[];
}

interface Setting {
  packets: number;
  rounds: number;
  folder: string;
  contestants: Contestant[];
}

const FRAME_BYTES = 64;
const RECORD_BYTES = 16 + FRAME_BYTES;
const FLOWS = 10_000;
const MEGABYTE = 1e6;
const TMPFS_MAGIC = 0x01021994;
const WATCH_MS = 20;

/** Ethernet, IPv4 and UDP from station 1 to station 2; ports and the last byte of the source address tell flows apart. */
const FRAME = Buffer.from(
  '02000000000902000000000108004500003200004000401100000a0000010a0000020400000000 1e0000'.replace(' ', ''),
  'hex',
);

/** Writes a pcap file of short frames, flows in an order that is the same every time. */
export function writeCapture(path: string, packets: number): void {
  const fd = openSync(path, 'w');
  const header = Buffer.alloc(24);
  header.writeUInt32LE(0xa1b2c3d4, 0);
  header.writeUInt16LE(2, 4);
  header.writeUInt16LE(4, 6);
  header.writeUInt32LE(65535, 16);
  header.writeUInt32LE(1, 20);
  writeSync(fd, header);
  const perWrite = 8192;
  const records = Buffer.alloc(RECORD_BYTES * perWrite);
  let x = 1;
  for (let first = 0; first < packets; first += perWrite) {
    const count = Math.min(perWrite, packets - first);
    for (let k = 0; k < count; k++) {
      const at = k * RECORD_BYTES;
      const micros = first + k;
      records.writeUInt32LE(1_700_000_000 + Math.floor(micros / 1e6), at);
      records.writeUInt32LE(micros % 1e6, at + 4);
      records.writeUInt32LE(FRAME_BYTES, at + 8);
      records.writeUInt32LE(FRAME_BYTES, at + 12);
      FRAME.copy(records, at + 16);
      x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
      const flow = (x >>> 8) % FLOWS;
      records[at + 16 + 29] = 1 + (flow % 250);
      records.writeUInt16BE(1024 + flow, at + 16 + 34);
    }
    writeSync(fd, records, 0, count * RECORD_BYTES);
  }
  closeSync(fd);
}

/** The kernel's own highest mark of a process's resident memory. `text` is /proc/PID/status. */
export function peakMemory(text: string): number {
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(text)?.[1] ?? 0) * 1024;
}

interface Run {
  seconds: number;
  cpuSeconds: number;
  peakBytes: number;
}

function runOnce(command: string[], signal: AbortSignal): Promise<Run> {
  return new Promise((resolve, reject) => {
    const startedAt = performance.now();
    const child = spawn(command[0], command.slice(1), { stdio: ['ignore', 'ignore', 'pipe'], signal });
    let said = '';
    let peakBytes = 0;
    let cpuSeconds = 0;
    child.stderr.on('data', (text) => (said = (said + text).slice(-2000)));
    const timer = setInterval(() => {
      try {
        peakBytes = Math.max(peakBytes, peakMemory(readFileSync(`/proc/${child.pid}/status`, 'latin1')));
        cpuSeconds = readProcessSeconds(child.pid as number);
      } catch {
        // It has ended between two looks.
      }
    }, WATCH_MS);
    child.on('error', (error) => {
      clearInterval(timer);
      reject(error);
    });
    child.on('exit', (status) => {
      clearInterval(timer);
      const seconds = (performance.now() - startedAt) / 1000;
      if (status === 0) resolve({ seconds, cpuSeconds, peakBytes });
      else reject(new Error(`${command.join(' ')} ended with status ${status}: ${said}`));
    });
  });
}

/** `tcpreplay -w FILE` came with version 4.5; earlier ones only know network devices. */
function canWrite(tcpreplay: string): boolean {
  const { stdout, stderr } = spawnSync(tcpreplay, ['-h'], { encoding: 'utf8' });
  return /--write\b/.test(`${stdout}${stderr}`);
}

const push = (rest: string) => (input: string, output: string) => {
  const spec = `vxlan:vni=42,remote=198.18.0.2${rest}`;
  return [process.execPath, WEFT, 'replay', '--quiet', '--push', spec, '--out', output, input];
};

const contestant = (name: string, command: Contestant['command']): Contestant => {
  return { name, command, seconds: [], cpuSeconds: [], peakBytes: [] };
};

function contestants(tcpreplay: string, notes: string[]): Contestant[] {
  const all = [
    contestant('weft, VXLAN push', push(',csum=off')),
    contestant('weft, VXLAN push with UDP checksums', push('')),
    contestant('editcap, copy', (input, output) => ['editcap', '-F', 'pcap', input, output]),
  ];
  if (canWrite(tcpreplay))
    all.push(contestant('tcpreplay --topspeed -w', (input, output) => [tcpreplay, '--topspeed', '-w', output, input]));
  else
    notes.push(
      `${tcpreplay} cannot write files: \`-w\` came with tcpreplay 4.5. Build it from its sources and name it with --tcpreplay.`,
    );
  return all;
}

async function measure(setting: Setting, log: (line: string) => void): Promise<void> {
  await withCleanUp(async (undo, signal) => {
    const input = join(setting.folder, `weft-bench-${process.pid}-in.pcap`);
    const output = join(setting.folder, `weft-bench-${process.pid}-out.pcap`);
    undo.add(() => {
      for (const file of [input, output]) rmSync(file, { force: true });
    });
    log(`${setting.packets} packets of ${FRAME_BYTES} bytes, ${FLOWS} flows`);
    writeCapture(input, setting.packets);
    for (let round = 0; round < setting.rounds; round++) {
      for (const one of setting.contestants) {
        const { seconds, cpuSeconds, peakBytes } = await runOnce(one.command(input, output), signal);
        one.seconds.push(seconds);
        one.cpuSeconds.push(cpuSeconds);
        one.peakBytes.push(peakBytes);
        if (statSync(output).size < setting.packets * RECORD_BYTES) throw new Error(`${one.name} wrote too little`);
        // Pages of the next output must be as new as those of this one.
        rmSync(output);
        log(`round ${round + 1} of ${setting.rounds}: ${one.name}: ${seconds.toFixed(2)} s`);
      }
    }
  });
}

function readSetting(options: OptionValues, notes: string[]): Setting {
  const megabytes = numberOption(options, 'size', 1);
  const rounds = numberOption(options, 'rounds', 1);
  const folder = String(options.folder);
  const tcpreplay = String(options.tcpreplay);
  const missing = [tcpreplay, 'editcap'].filter((name) => spawnSync(name, ['-h']).error !== undefined);
  if (missing.length > 0)
    throw new Error(`this benchmark needs ${missing.join(', ')} (Debian: apt install tcpreplay wireshark-common)`);
  const { type, bavail, bsize } = statfsSync(folder);
  if (type !== TMPFS_MAGIC) notes.push(`${folder} is no tmpfs: the figures are those of its disk, too`);
  // The input, and the output with 50 bytes more for each packet.
  if (bavail * bsize < megabytes * MEGABYTE * 2.8)
    throw new UsageError(`${folder} has no room for ${Math.ceil(megabytes * 2.8)} MB: give another --folder or --size`);
  const packets = Math.floor((megabytes * MEGABYTE) / RECORD_BYTES);
  return { packets, rounds, folder, contestants: contestants(tcpreplay, notes) };
}

function findings({ packets, contestants: all }: Setting, notes: string[]): Findings {
  const mpps = (c: Contestant) => c.seconds.map((s) => packets / s / 1e6);
  const cpuOf = (c: Contestant) => c.cpuSeconds.map((s) => (s * 1e9) / packets);
  const weft = all[0];
  const against = (c: Contestant) => ratios(mpps(weft), mpps(c));
  const tcpreplay = all.find((c) => c.name.startsWith('tcpreplay'));
  return {
    tables: [
      {
        title: `pcap to pcap, ${packets} packets of ${FRAME_BYTES} bytes, whole processes`,
        columns: ['what', 'Mpps', 'weft is so many times as fast', 'CPU, ns a packet', 'peak memory, MB'],
        rows: all.map((c) => [
          c.name,
          cell(mpps(c), 2),
          c === weft ? '' : cell(against(c), 2),
          cell(cpuOf(c), 0),
          cell(c.peakBytes.map((bytes) => bytes / MEGABYTE)),
        ]),
      },
    ],
    series: all.flatMap((c) => [
      { name: `${c.name}/rate`, unit: 'Mpps', samples: mpps(c) },
      { name: `${c.name}/cpu`, unit: 'ns', samples: cpuOf(c) },
      { name: `${c.name}/peak`, unit: 'bytes', samples: c.peakBytes },
    ]),
    targets: [
      { text: 'Mpps at 64 bytes, one worker', value: median(mpps(weft)), limit: 3, sense: 'above' },
      { text: 'peak memory, MB', value: median(weft.peakBytes) / MEGABYTE, limit: 200, sense: 'below' },
      ...(tcpreplay
        ? [
            {
              text: 'times as fast as tcpreplay --topspeed -w',
              value: median(against(tcpreplay)),
              limit: 1,
              sense: 'above' as const,
            },
          ]
        : []),
    ],
    notes: [
      ...notes,
      'weft parses, learns, looks up, encapsulates and counts each packet; the others copy it.',
      'Times have the start of each process in them. CPU and peak memory (VmHWM) are the kernel’s, seen every 20 ms.',
    ],
  };
}

export const replay: Benchmark = {
  name: 'replay',
  summary: 'a capture to a capture with a VXLAN push, beside tcpreplay and editcap on the same file',
  options: {
    size: { type: 'string', default: '1000', help: 'megabytes of the capture' },
    rounds: { type: 'string', default: '3', help: 'rounds, in each of which every program runs once' },
    folder: { type: 'string', default: '/dev/shm', help: 'where the files lie, a tmpfs' },
    tcpreplay: { type: 'string', default: 'tcpreplay', help: 'the program, version 4.5 or newer' },
  },
  async run(options, log): Promise<Findings> {
    const notes: string[] = [];
    const setting = readSetting(options, notes);
    await measure(setting, log);
    return findings(setting, notes);
  },
};
