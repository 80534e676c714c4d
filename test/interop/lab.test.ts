// `weft lab`, which `npm start` runs: from nothing to a report, and back to nothing, also when it is interrupted or killed.
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeAll, expect, it } from 'vitest';
import { cacheFolder } from '../../src/cli/lab/guest/image.js';
import type { LabReport } from '../../src/cli/lab/report.js';
import { runToEnd, scratchFile, WEFT, weft } from '../rig/node.js';
import { describeWith } from '../rig/requirements.js';
import { until } from '../rig/waiting.js';

const entries = (folder: string) => (existsSync(folder) ? readdirSync(folder) : []);

/** Everything of a lab that can be found: namespaces, files, processes. */
function remains(id: number): string[] {
  const isOurs = (name: string) => new RegExp(`lab-([ab]-)?${id}\\b`).test(name);
  const processes = readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
      } catch {
        return '';
      }
    });
  return [...entries('/run/netns'), ...entries('/run/weft'), ...processes].filter(isOurs);
}

/** An emulated machine takes its time where others need the processors. */
const LIMIT_MS = 100_000;

/** Nothing remains of them, once processes that were ended have ended. */
async function expectNothingOf(...those: Lab[]): Promise<void> {
  const all = () => those.flatMap(({ id }) => remains(id));
  await until('all processes have ended', () => all().length === 0).catch(() => {});
  expect(all()).toEqual([]);
}

const hasEnded = (child: ChildProcess) => child.exitCode !== null || child.signalCode !== null;

interface Lab {
  child: ChildProcess;
  id: number;
  said(): string;
  printed(): string;
  end(): Promise<unknown>;
}

/** How tests start labs; what they leave behind is removed after each. */
function labs(environment: Record<string, string> = {}): (...args: string[]) => Lab {
  const started = new Set<ChildProcess>();
  afterEach(async () => {
    for (const child of started) if (!hasEnded(child)) child.kill('SIGINT');
    for (const child of started) await until('the end of the lab', () => hasEnded(child), { withinMs: 30_000 });
    // Only after a failure is there anything.
    if ([...started].some((child) => remains(child.pid as number).length > 0)) await weft('lab', '--remove');
    started.clear();
  });

  function start(...args: string[]) {
    const child = spawn(process.execPath, [WEFT, 'lab', ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...environment },
      detached: true,
    });
    started.add(child);
    const lab = { child, id: child.pid as number, stdout: '', stderr: '' };
    child.stdout.on('data', (text) => (lab.stdout += text));
    child.stderr.on('data', (text) => (lab.stderr += text));
    return {
      ...lab,
      said: () => lab.stderr,
      printed: () => lab.stdout,
      end: () => until(`the end of the lab: ${lab.stderr}`, () => hasEnded(child), { withinMs: LIMIT_MS }),
    };
  }
  return start;
}

describeWith(['root', 'tun', 'addon', 'ip', 'ping', 'iperf3'], 'weft lab', () => {
  const start = labs();

  it('measures, reports as JSON and leaves nothing behind', { timeout: 2 * LIMIT_MS }, async () => {
    const lab = start('--json', '--duration', '1', '--rounds', '1');
    await lab.end();
    expect(lab.child.exitCode, lab.said()).toBe(0);
    // Nothing but the report on standard output.
    const report = JSON.parse(lab.printed()) as LabReport;
    expect(report.ratioToKernel).toBeGreaterThan(0.05);
    expect(report.throughput.weft.gbitPerSec).toBeGreaterThan(0.1);
    expect(report.roundTrip.weft).not.toBeNull();
    for (const { status, drops } of [report.nodes.a, report.nodes.b]) {
      expect(status.ports[0].path).toEqual({ send: 'superframes', receive: 'superframes', reasons: [] });
      expect(drops.total).toBe(0);
    }
    await expectNothingOf(lab);
  });

  it.each([
    ['SIGINT', /building/],
    ['SIGTERM', /building/],
    ['SIGINT', /ping/],
    ['SIGINT', /transfer, round 1/],
  ] as const)('interrupted by %s at %s leaves nothing behind', { timeout: 2 * LIMIT_MS }, async (signal, phase) => {
    const lab = start('--duration', '5');
    await until(`the lab says ${phase}`, () => phase.test(lab.said()), { withinMs: LIMIT_MS, everyMs: 2 });
    // Ctrl-C reaches everything in the foreground, a SIGTERM only the process that it is for.
    process.kill(signal === 'SIGINT' ? -lab.id : lab.id, signal);
    await lab.end();
    expect(lab.child.exitCode).toBe(2);
    expect(lab.said()).toMatch(/interrupted/);
    await expectNothingOf(lab);
  });

  it('that was kept, or killed, goes with --remove', { timeout: 2 * LIMIT_MS }, async ({ skip }) => {
    const others = entries('/run/netns').filter((name) => name.startsWith('weft-lab-'));
    skip(others.length > 0, `somebody keeps a lab here: ${others}`);
    const kept = start('--keep', '--duration', '1', '--rounds', '1');
    await kept.end();
    expect(kept.child.exitCode, kept.said()).toBe(0);
    // The report for people: what it was, how fast, which path, and how to look inside.
    for (const text of [
      /Gbit\/s/,
      /of the kernel's VXLAN/,
      /superframes/,
      /answered/,
      /nothing dropped/,
      /lab --remove/,
    ]) {
      expect(kept.printed()).toMatch(text);
    }
    expect(remains(kept.id).length).toBeGreaterThan(4);
    const killed = start('--duration', '5');
    await until('the transfer', () => /transfer, round 1/.test(killed.said()), { withinMs: LIMIT_MS });
    killed.child.kill('SIGKILL');
    await killed.end();
    expect(await weft('lab', '--remove')).toMatchObject({ status: 0, stderr: '' });
    await expectNothingOf(kept, killed);
  });
});

describeWith(['root', 'tun', 'addon', 'dpdk', 'guest', 'ip', 'ping', 'iperf3'], 'weft lab --vm', () => {
  // What it would download is here already.
  const cache = scratchFile('cache');
  const start = labs({ XDG_CACHE_HOME: cache });
  beforeAll(() => {
    const folder = join(cache, 'weft', basename(cacheFolder()));
    mkdirSync(dirname(folder), { recursive: true });
    symlinkSync(fileURLToPath(new URL('../../.setup/guest', import.meta.url)), folder);
  });

  it('has a virtual machine in host a', { timeout: 2 * LIMIT_MS }, async () => {
    const lab = start('--vm', '--json', '--duration', '1', '--rounds', '1');
    await lab.end();
    expect(lab.child.exitCode, lab.said()).toBe(0);
    const report = JSON.parse(lab.printed()) as LabReport;
    expect(report.machine).toMatchObject({
      qemu: expect.stringMatching(/^\d/),
      kernel: expect.stringMatching(/cloud/),
    });
    // ping waits for the last answer no longer than 50 ms, which an emulated processor may need.
    expect(report.roundTrip.weft.received).toBeGreaterThanOrEqual(19);
    expect(report.throughput.weft.gbitPerSec).toBeGreaterThan(0.01);
    expect(report.comparisonSkipped ?? report.ratioToKernel).toBeTruthy();
    expect(report.nodes.a.status.ports).toMatchObject([{ type: 'vhost-user', deviceState: 'up' }]);
    // Host b's kernel talks before the machine is there to hear it, and an emulated processor may be too slow for its ring.
    const harmless = ['device-gone', 'tx-full'];
    expect(report.nodes.a.drops.reasons.filter(({ reason }) => !harmless.includes(reason))).toEqual([]);
    await expectNothingOf(lab);
  });

  it('leaves nothing behind when it is interrupted or killed', { timeout: 2 * LIMIT_MS }, async () => {
    const interrupted = start('--vm');
    await until('the boot', () => /booting/.test(interrupted.said()), { withinMs: LIMIT_MS });
    process.kill(-interrupted.id, 'SIGINT');
    await interrupted.end();
    expect(interrupted.child.exitCode).toBe(2);
    await expectNothingOf(interrupted);
    const killed = start('--vm');
    await until('the machine', () => remains(killed.id).some((name) => name.startsWith('qemu')), {
      withinMs: LIMIT_MS,
    });
    killed.child.kill('SIGKILL');
    await killed.end();
    expect(await weft('lab', '--remove')).toMatchObject({ status: 0, stderr: '' });
    await expectNothingOf(killed);
  });
});

describeWith(['root', 'tun', 'addon', 'ip', 'ping', 'iperf3'], 'weft lab --vm without what it needs', () => {
  it('names all of it in one error', async () => {
    // A folder with everything but qemu.
    const programs = scratchFile('bin');
    mkdirSync(programs);
    for (const name of ['ip', 'ss', 'ping', 'iperf3']) {
      const found = (await runToEnd('sh', ['-c', `command -v ${name}`])).stdout.trim();
      symlinkSync(found, join(programs, name));
    }
    const { status, stderr } = await runToEnd('env', [`PATH=${programs}`, process.execPath, WEFT, 'lab', '--vm']);
    expect(status).toBe(2);
    expect(stderr).toMatch(/needs .*qemu-system-x86_64.*, which this machine does not have/);
    expect(stderr).toMatch(/apt-get install .*qemu-system-x86/);
  });
});
