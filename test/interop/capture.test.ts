// `weft capture`: a pcapng file that tshark reads, with what went in and what came out; and capture files as devices of a live node.
import { execFile } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { ConfigInput } from '../../src/control/config/config.js';
import { readFrames } from '../rig/captureFiles.js';
import { addKernelVxlan, makeHosts, makeQuietNamespace, pinOffloads, UNDERLAY_A, UNDERLAY_B } from '../rig/hosts.js';
import { removeNamespaces } from '../rig/namespaces.js';
import { expectQuiet, runToEnd, scratchFile, up, WEFT, type WeftNode } from '../rig/node.js';
import { describeWith } from '../rig/requirements.js';
import { ping, sendTcp } from '../rig/traffic.js';
import { readFields } from '../rig/tshark.js';
import { until } from '../rig/waiting.js';

const WEFT_ADDRESS = '10.1.0.1';
const KERNEL = '10.1.0.2';
/** Directions of a pcapng packet block, as tshark prints its flags. */
const IN = '0x00000001';
const OUT = '0x00000002';

describeWith(['root', 'tun', 'addon', 'ip', 'ping', 'ethtool', 'tshark', 'vxlan'], 'weft capture', () => {
  let a: string;
  let b: string;
  let node: WeftNode;

  beforeEach(async () => {
    const hosts = makeHosts();
    pinOffloads(hosts);
    [a, b] = [hosts.a.namespace, hosts.b.namespace];
    addKernelVxlan({ host: hosts.b, local: UNDERLAY_B, remote: UNDERLAY_A, addresses: [`${KERNEL}/24`] });
    const port = { type: 'tap' as const, name: 'web', device: 'weft0', addresses: [`${WEFT_ADDRESS}/24`] };
    node = await up(a, {
      underlays: [{ name: 'veth', address: UNDERLAY_A }],
      networks: [{ name: 'blue', vni: 42, underlay: 'veth', peers: [UNDERLAY_B], ports: [port] }],
    });
  });
  afterEach(removeNamespaces);

  /** Starts the verb; it is ended by Ctrl-C, as a user would. */
  async function capture(...args: string[]) {
    const path = scratchFile('port.pcapng');
    const child = execFile(process.execPath, [WEFT, 'capture', '--socket', node.socket, '--on', 'web', ...args, path]);
    let said = '';
    child.stderr?.on('data', (text) => (said += text));
    // The header is written when the node has answered.
    await until('the capture has begun', () => existsSync(path) && statSync(path).size > 0);
    return {
      path,
      async stop() {
        if (child.exitCode === null) child.kill('SIGINT');
        return this.end();
      },
      async end() {
        await until(`the end of the capture: ${said}`, () => child.exitCode !== null || child.signalCode !== null);
        return { status: child.exitCode, said };
      },
    };
  }

  it('writes both directions, in order, with the time of day', async () => {
    const before = Date.now() / 1000;
    const captured = await capture();
    expect(await ping(a, KERNEL, { count: 5 })).toBe(5);
    expect(await ping(b, WEFT_ADDRESS, { count: 5 })).toBe(5);
    const { status, said } = await captured.stop();
    expect(status).toBe(0);

    const names = [
      'frame.time_epoch',
      'frame.packet_flags',
      'icmp.type',
      'ip.src',
      'ip.dst',
      'icmp.seq',
      'frame.interface_name',
    ];
    const rows = await readFields(captured.path, names);
    const icmp = rows.filter((row) => row['icmp.type'].length > 0);
    const turn = (flags: string, type: string, from: string, to: string) => (seq: number) =>
      [flags, type, from, to, `${seq}`].join();
    const asked = [turn(IN, '8', WEFT_ADDRESS, KERNEL), turn(OUT, '0', KERNEL, WEFT_ADDRESS)];
    const answered = [turn(OUT, '8', KERNEL, WEFT_ADDRESS), turn(IN, '0', WEFT_ADDRESS, KERNEL)];
    const turns = icmp
      .filter((row) => Number(row['icmp.seq'][0]) <= 5)
      .map((row) =>
        [
          ...row['frame.packet_flags'],
          ...row['icmp.type'],
          ...row['ip.src'],
          ...row['ip.dst'],
          row['icmp.seq'][0],
        ].join(),
      );
    expect(turns).toHaveLength(20);
    // Requests come in their order, and so do answers, each behind its request: on a busy machine the next request may be there first.
    const order = (way: ((seq: number) => string)[]) =>
      [1, 2, 3, 4, 5].map((n) => way.map((of) => turns.indexOf(of(n))));
    for (const way of [asked, answered]) {
      const places = order(way);
      for (const [request, answer] of places) expect(answer).toBeGreaterThan(request);
      for (const column of [0, 1]) {
        const ofOne = places.map((place) => place[column]);
        expect(ofOne).toEqual(ofOne.toSorted((x, y) => x - y));
        expect(ofOne[0]).toBeGreaterThanOrEqual(0);
      }
    }
    // The second ping began when the first had ended.
    expect(Math.max(...order(asked).flat())).toBeLessThan(Math.min(...order(answered).flat()));
    expect(new Set(rows.map((row) => row['frame.interface_name'][0]))).toEqual(new Set(['web']));
    const times = rows.map((row) => Number(row['frame.time_epoch'][0]));
    expect(times).toEqual([...times].sort((x, y) => x - y));
    expect(times[0]).toBeGreaterThan(before - 0.1);
    expect(times.at(-1)).toBeLessThan(Date.now() / 1000 + 0.1);
    expect(said).toContain(`${rows.length} frames of port web written`);
    expect(said).toContain('0 frames missed');
  });

  it('takes a stream with its superframes, or says how many frames it missed', async () => {
    const captured = await capture();
    const { sent, received } = await sendTcp(a, b, KERNEL, 20_000_000);
    expect(received).toEqual(sent);
    const { status, said } = await captured.stop();
    expect(status).toBe(0);
    const rows = await readFields(captured.path, ['frame.packet_flags', 'tcp.len', '_ws.malformed']);
    const [, written, missed] = /([\d,]+) frames? of port web written.* ([\d,]+) frames? missed/.exec(said) as string[];
    expect(rows).toHaveLength(Number(written.replaceAll(',', '')));
    expect(rows.flatMap((row) => row['_ws.malformed'])).toEqual([]);
    const bytes = rows
      .filter((row) => row['frame.packet_flags'][0] === IN)
      .reduce((sum, row) => sum + Number(row['tcp.len'][0] ?? 0), 0);
    if (missed === '0') expect(bytes).toBeGreaterThanOrEqual(sent.bytes);
    expect(Math.max(...rows.map((row) => Number(row['tcp.len'][0] ?? 0)))).toBeGreaterThan(10_000);
    await expectQuiet(node);
  });

  it('ends by itself after a number of frames, cut as asked', async () => {
    const captured = await capture('--count', '4', '--snap', '60');
    expect(await ping(a, KERNEL, { count: 5 })).toBe(5);
    const { status } = await captured.end();
    expect(status).toBe(0);
    const rows = await readFields(captured.path, ['frame.len', 'frame.cap_len']);
    expect(rows).toHaveLength(4);
    for (const row of rows) {
      expect(Number(row['frame.cap_len'][0])).toBe(Math.min(60, Number(row['frame.len'][0])));
    }
  });

  it('ends with a whole file when the node ends, and can be started again', async () => {
    const first = await capture();
    expect(await ping(a, KERNEL)).toBe(3);
    expect((await first.stop()).status).toBe(0);
    const second = await capture();
    expect(await ping(a, KERNEL)).toBe(3);
    expect(await node.end()).toBe(0);
    await second.stop();
    for (const { path } of [first, second]) {
      const { status, stderr } = await runToEnd('tshark', ['-r', path]);
      expect([status, /cut short|damaged/.test(stderr)]).toEqual([0, false]);
      expect(readFrames(path).length).toBeGreaterThanOrEqual(6);
    }
  });

  it('names the ports that there are', async () => {
    const { status, stderr } = await node.weft('capture', '--on', 'wbe', '/dev/null');
    expect(status).not.toBe(0);
    expect(stderr).toMatch(/"wbe"/);
    expect(stderr).toMatch(/ports: web/);
  });
});

describeWith(['root', 'addon', 'ip'], 'a node between files', () => {
  afterEach(removeNamespaces);

  it('reads what a kernel sent and writes what was inside', async () => {
    const input = fileURLToPath(new URL('../golden/captures/kernel-vxlan.pcap', import.meta.url));
    const output = scratchFile('inner.pcapng');
    const config: ConfigInput = {
      underlays: [
        { name: 'wire', kind: 'frame', address: '10.9.0.3', frame: { type: 'pcap', input, mac: '52:54:00:00:00:0b' } },
      ],
      networks: [
        {
          name: 'blue',
          vni: 42,
          underlay: 'wire',
          // Byte for byte: SYNs stay as they are.
          mssClamp: false,
          peers: ['10.9.0.2'],
          ports: [{ type: 'pcap', name: 'file', output }],
        },
      ],
    };
    const node = await up(makeQuietNamespace('files'), config);
    const all = readFrames(input);
    await until('all frames are read', async () => (await node.stats()).account.received >= all.length);
    await expectQuiet(node);
    expect(await node.end()).toBe(0);
    const ours = all.filter((frame) => frame.subarray(30, 34).join('.') === '10.9.0.3');
    expect(readFrames(output)).toEqual(ours.map((frame) => frame.subarray(50)));
  });
});
