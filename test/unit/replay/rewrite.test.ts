import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { ReplayOptions, ReplayReport } from '../../../src/replay/options.js';
import { totals } from '../../../src/replay/report.js';
import { type RewriteOptions, rewrite } from '../../../src/replay/rewrite.js';
import { someReport } from './reports.js';

/** Stands in for replay(): notes what it is asked, and gives reports in which a packet of each step is lost. */
function recorder(read = 10) {
  const asked: ReplayOptions[] = [];
  async function run(options: ReplayOptions): Promise<ReplayReport> {
    const packets = asked.length;
    asked.push(options);
    const came = read - packets;
    return someReport({
      inputs: [{ ...someReport().inputs[0], file: options.inputs[0].file, device: 'in', packets: came }],
      read: came,
      forwarded: came - 1,
      written: came - 1,
      dropped: { 'too-big': 1 },
      copied: 0,
      outputs: [{ file: options.out ?? '', device: 'out', packets: came - 1, bytes: 1 }],
    });
  }
  const start = (options: RewriteOptions) => rewrite(options, run);
  return { asked, start };
}

describe('rewrite', () => {
  it('pushes in one step, with the edits before it', async () => {
    const { asked, start } = recorder();
    const set = [{ field: 'ttl', value: '3' }];
    await start({ inputs: ['a.pcap'], out: 'b.pcapng', push: ['vxlan:vni=1,remote=10.0.0.2'], set, limit: 5 });
    expect(asked).toHaveLength(1);
    expect(asked[0]).toMatchObject({
      inputs: [{ file: 'a.pcap', port: 'in' }],
      out: 'b.pcapng',
      outOnly: ['out'],
      keepInterfaces: true,
      edits: [{ field: 'ttl', value: '3', device: 'in' }],
      limit: 5,
    });
    expect(asked[0].plan?.networks[0].tunnel.kind).toBe('vxlan');
  });

  it('goes through temporary files from step to step, and removes them', async () => {
    const { asked, start } = recorder();
    const push = ['ipip:remote=10.0.0.2', 'geneve:vni=1,remote=10.0.0.3'];
    const report = await start({ inputs: ['a.pcap'], out: 'b.pcapng', pop: 'auto', push, limit: 5 });
    expect(asked.map((o) => o.inputs[0])).toEqual([
      { file: 'a.pcap', underlay: 'in' },
      { file: asked[0].out, port: 'in' },
      { file: asked[1].out, port: 'in' },
    ]);
    expect(asked.map((o) => o.plan?.networks[0].tunnel.kind)).toEqual(['vxlan', 'ipip', 'geneve']);
    expect(asked.map((o) => o.limit)).toEqual([5, undefined, undefined]);
    expect(asked[2].out).toBe('b.pcapng');
    expect(existsSync(dirname(asked[0].out!))).toBe(false);
    expect(report).toMatchObject({ read: 10, written: 7, dropped: { 'too-big': 3 } });
    expect(report.inputs.map((input) => input.file)).toEqual(['a.pcap']);
    expect(report.outputs.map((output) => output.file)).toEqual(['b.pcapng']);
    expect(report.ports.map((port) => port.name)).toEqual(['p', 'p#2', 'p#3']);
    expect(totals(report).addUp).toBe(true);
  });

  it('only edits where nothing is pushed or popped', async () => {
    const { asked, start } = recorder();
    await start({ inputs: ['-'], out: '-', set: [{ field: 'vlan', value: 'none' }] });
    expect(asked[0].plan).toMatchObject({ underlays: [], ports: [{ name: 'in' }, { name: 'out' }] });
  });

  it('gives each of several captures its own file', async () => {
    const { asked, start } = recorder();
    const folder = mkdtempSync(join(tmpdir(), 'weft-rewrite-'));
    const outDir = join(folder, 'd');
    const report = await start({ inputs: ['x/a.pcap', 'b.pcapng'], outDir, pop: 'auto' });
    expect(existsSync(outDir)).toBe(true);
    rmSync(folder, { recursive: true });
    expect(asked.map((o) => o.out)).toEqual([join(outDir, 'a.pcapng'), join(outDir, 'b.pcapng')]);
    expect(report.inputs.map((input) => input.file)).toEqual(['x/a.pcap', 'b.pcapng']);
    expect(report).toMatchObject({ read: 19, written: 17, dropped: { 'too-big': 2 } });
    expect(totals(report).addUp).toBe(true);
  });

  it('lets what was read before a signal go through all steps', async () => {
    const { asked, start } = recorder();
    const stop = new AbortController();
    stop.abort();
    await start({
      inputs: ['a.pcap'],
      out: 'b',
      push: ['ipip:remote=10.0.0.2', 'ipip:remote=10.0.0.3'],
      signal: stop.signal,
    });
    expect(asked.map((o) => o.signal)).toEqual([stop.signal, undefined]);
  });

  it.each([
    [{ inputs: [] }, 'no capture to rewrite is named'],
    [{ inputs: ['a', 'b'], out: 'c' }, '2 captures are rewritten to one file'],
    [{ inputs: ['x/a.pcap', 'y/a.pcapng'], outDir: 'd' }, 'two captures have the name a'],
    [{ inputs: ['a'], push: ['vlan'] }, "there is no kind 'vlan'"],
    [{ inputs: ['a'], set: [{ field: 'x', value: '1' }] }, "there is no field 'x' to set"],
  ])('refuses %j', async (options, message) => {
    const { asked, start } = recorder();
    await expect(start(options)).rejects.toThrow(message);
    expect(asked).toEqual([]);
  });
});
