import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { sleep } from '../../dist/cli/lab/commands.js';
import type { Undo } from '../../dist/cli/lab/undo.js';
import { wake } from './contestant.js';

const START_MS = 15_000;
const STARTED = /packet forwarding[\s\S]*testpmd>/;
/** Nothing is on its way any more when nothing has come in for so long. */
const QUIET_MS = 20;

export interface Testpmd {
  pid: number;
  /** Frames that have left through a port. */
  sent(port: number): Promise<number>;
  /** Frames that have come in, through all ports. */
  received(): Promise<number>;
  /** Takes in all frames that are on their way, and starts with new ones in a forwarding mode. */
  restart(mode: string): Promise<void>;
}

export interface TestpmdSettings {
  /** Core of the thread that forwards. */
  cpu: number;
  memoryMb: number;
  vdevs: string[];
  /** Arguments behind `--`. */
  forward: string[];
  /** So many bursts of its own are sent first. */
  firstBursts?: number;
  /** Its ports are up, and nobody looks at them. */
  isSilent?: boolean;
}

let started = 0;

/** dpdk-testpmd with one forwarding thread, asked over its command line. */
export async function startTestpmd(settings: TestpmdSettings, undo: Undo, signal: AbortSignal): Promise<Testpmd> {
  const { cpu, memoryMb, vdevs, forward, firstBursts, isSilent } = settings;
  const child = spawn(
    'stdbuf',
    [
      // Into a pipe it would print when four kilobytes have come together.
      ...['-oL', 'dpdk-testpmd'],
      ...['--lcores', `0@0,1@${cpu}`, '--in-memory', '--single-file-segments', '--iova-mode=va', '-m', `${memoryMb}`],
      ...['--no-pci', '--no-telemetry', `--file-prefix=wt-${process.pid}-${++started}`],
      ...vdevs.flatMap((vdev) => ['--vdev', vdev]),
      ...['--', '-i', ...forward],
    ],
    { stdio: ['pipe', 'pipe', 'pipe'] },
  );
  const pid = child.pid;
  if (pid === undefined) throw new Error('dpdk-testpmd cannot be started (apt-get install dpdk-dev)');
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      output = (output + chunk.toString()).slice(-20_000);
    });
  const ended = once(child, 'exit');
  undo.add(async () => {
    wake(pid);
    child.kill('SIGKILL');
    await ended;
  });
  /** Gives a command and waits for what it prints. */
  async function ask(command: string, answer: RegExp): Promise<RegExpExecArray> {
    output = '';
    child.stdin.write(`${command}\n`);
    for (let waited = 0; waited < START_MS; waited += 2) {
      signal.throwIfAborted();
      const found = answer.exec(output);
      if (found !== null) return found;
      if (child.exitCode !== null) break;
      await sleep(2);
    }
    throw new Error(`dpdk-testpmd does not answer:\n${output}`);
  }
  await ask('show port summary all', /Number of available ports/);
  const start = () => ask(firstBursts === undefined ? 'start' : `start tx_first ${firstBursts}`, STARTED);
  if (!isSilent) await start();
  const stop = () => ask('stop', /Done\.[\s\S]*testpmd>/);
  const setMode = (mode: string) => ask(`set fwd ${mode}`, /Set \w+ packet forwarding mode/);
  async function received(): Promise<number> {
    const [text] = await ask(
      'show port stats all',
      new RegExp(`(?:RX-packets: +\\d+\\s[\\s\\S]*){${vdevs.length}}####\\s+testpmd>`),
    );
    return [...text.matchAll(/RX-packets: +(\d+)/g)].reduce((sum, [, n]) => sum + Number(n), 0);
  }
  return {
    pid,
    received,
    async sent(port) {
      const [, packets] = await ask(`show port stats ${port}`, /TX-packets: +(\d+)\s/);
      return Number(packets);
    },
    async restart(mode) {
      await stop();
      await setMode('rxonly');
      await ask('start', STARTED);
      let before = -1;
      for (let now = await received(); now !== before; now = await received()) {
        before = now;
        await sleep(QUIET_MS);
      }
      await stop();
      await setMode(mode);
      await start();
    },
  };
}
