// `weft lab`, which `npm start` runs: from nothing to a report, and back to nothing, also when it is interrupted or killed.
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { afterEach, expect, it } from 'vitest';
import type { LabReport } from '../../src/cli/lab/report.js';
import { WEFT, weft } from '../rig/node.js';
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

const hasEnded = (child: ChildProcess) => child.exitCode !== null || child.signalCode !== null;

describeWith(['root', 'tun', 'addon', 'ip', 'ping', 'iperf3'], 'weft lab', () => {
  const started = new Set<ChildProcess>();
  afterEach(async () => {
    for (const child of started) if (!hasEnded(child)) child.kill('SIGINT');
    for (const child of started) await until('the end of the lab', () => hasEnded(child), { withinMs: 10_000 });
    // Only after a failure is there anything.
    if ([...started].some((child) => remains(child.pid as number).length > 0)) await weft('lab', '--remove');
    started.clear();
  });

  function start(...args: string[]) {
    const child = spawn(process.execPath, [WEFT, 'lab', ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
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
      end: () => until(`the end of the lab: ${lab.stderr}`, () => hasEnded(child), { withinMs: 30_000 }),
    };
  }

  it('measures, reports as JSON and leaves nothing behind', async () => {
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
    expect(remains(lab.id)).toEqual([]);
  });

  it.each([
    ['SIGINT', /building/],
    ['SIGTERM', /building/],
    ['SIGINT', /ping/],
    ['SIGINT', /transfer, round 1/],
  ] as const)('interrupted by %s at %s leaves nothing behind', async (signal, phase) => {
    const lab = start('--duration', '5');
    await until(`the lab says ${phase}`, () => phase.test(lab.said()), { withinMs: 15_000, everyMs: 2 });
    // Ctrl-C reaches everything in the foreground, a SIGTERM only the process that it is for.
    process.kill(signal === 'SIGINT' ? -lab.id : lab.id, signal);
    await lab.end();
    expect(lab.child.exitCode).toBe(2);
    expect(lab.said()).toMatch(/interrupted/);
    expect(remains(lab.id)).toEqual([]);
  });

  it('that was kept, or killed, goes with --remove', async ({ skip }) => {
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
    await until('the transfer', () => /transfer, round 1/.test(killed.said()), { withinMs: 15_000 });
    killed.child.kill('SIGKILL');
    await killed.end();
    expect(await weft('lab', '--remove')).toMatchObject({ status: 0, stderr: '' });
    await until('all processes have ended', () => remains(kept.id).length + remains(killed.id).length === 0).catch(
      () => {},
    );
    expect([...remains(kept.id), ...remains(killed.id)]).toEqual([]);
  });
});
