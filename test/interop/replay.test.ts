// A capture replayed onto a real device: frames come out of a TAP when they are due, and what its host answers comes into the output.
import { execFileSync } from 'node:child_process';
import { afterEach, expect, it } from 'vitest';
import type { ConfigInput } from '../../src/control/config/config.js';
import type { replay as Replay } from '../../src/replay/replay.js';
import { totals } from '../../src/replay/report.js';
import { readRecords, writeTimed } from '../rig/captureRecords.js';
import { arpRequest, outer, udp, vxlan } from '../rig/frames.js';
import { makeNamespace, removeNamespaces } from '../rig/namespaces.js';
import { scratchFile } from '../rig/node.js';
import { describeWith } from '../rig/requirements.js';
import { record } from '../rig/tshark.js';

const BUILT = new URL('../../dist/replay/replay.js', import.meta.url).href;
const SELF = '198.18.0.1';
const PEER = '198.18.0.2';

const ip = (...args: string[]) => execFileSync('ip', args, { encoding: 'utf8' });

describeWith(['root', 'tun', 'addon', 'ip', 'tcpdump'], 'a replay on the real clock', () => {
  afterEach(removeNamespaces);

  /** A TAP that stays, in a namespace, with somebody who listens. */
  async function listen() {
    const namespace = makeNamespace('replay');
    ip('-n', namespace, 'tuntap', 'add', 'weft0', 'mode', 'tap', 'multi_queue', 'vnet_hdr');
    ip('-n', namespace, 'address', 'add', '10.0.0.99/16', 'dev', 'weft0');
    ip('-n', namespace, 'link', 'set', 'weft0', 'up');
    const recording = await record(namespace, 'weft0', { direction: 'in' });
    return { namespace, heard: async () => readRecords(await recording.stop()) };
  }

  const configOf = (netns: string): ConfigInput => ({
    underlays: [{ name: 'lan', address: SELF }],
    networks: [
      {
        name: 'blue',
        vni: 42,
        underlay: 'lan',
        peers: [PEER],
        ports: [{ type: 'tap', name: 'web', device: 'weft0', create: false, netns }],
      },
    ],
  });

  const inTunnel = (frame: Uint8Array) => outer({ src: PEER, dst: SELF, checksum: 'good' }, vxlan(42, frame));

  it('keeps the original timing, and writes what the host answers', async () => {
    const { replay } = (await import(BUILT)) as { replay: typeof Replay };
    const { namespace, heard } = await listen();
    // In turn 150 and 50 ms after each other.
    const frames = Array.from({ length: 31 }, (_, i) => ({
      micros: 1_700_000_000_000_000 + 100_000 * i + 50_000 * (i % 2),
      data: i === 1 ? arpRequest(5) : udp({ src: 5, dst: 7, payload: 100, sport: 1000 + i }),
    }));
    const file = writeTimed(
      scratchFile('in.pcap'),
      frames.map(({ micros, data }) => ({ micros, data: inTunnel(data) })),
    );
    const out = scratchFile('out.pcapng');
    const report = await replay({
      config: configOf(namespace),
      inputs: [{ file, underlay: 'lan' }],
      out,
      clock: 'real',
    });
    expect(report).toMatchObject({ stopped: false, held: 0, read: frames.length });
    // The host's own packets, ARP replies at least, count apart from those of the capture.
    expect(report.received).toBeGreaterThan(0);
    expect(totals(report).addUp).toBe(true);
    expect(report.inputs[0].packets).toBe(frames.length);

    const records = (await heard()).filter(({ data }) =>
      frames.some((f) => data === Buffer.from(f.data).toString('hex')),
    );
    expect(records.map((r) => r.data)).toEqual(frames.map((f) => Buffer.from(f.data).toString('hex')));
    // A busy machine wakes one up late now and then; whoever was late catches up. So most of them are as late as the earliest one.
    const lags = records.map((r, i) => r.micros - frames[i].micros).sort((x, y) => x - y);
    expect(lags[lags.length >> 1] - lags[0], `of ${lags} µs`).toBeLessThan(40_000);
    // The host's ARP reply to station 5 goes back to the peer: Ethernet, IPv4, UDP, VXLAN, and ARP behind an Ethernet header.
    const replies = readRecords(out).filter(({ data }) => data.slice(2 * (50 + 12), 2 * (50 + 14)) === '0806');
    expect(replies.some(({ data }) => data.slice(2 * (50 + 20), 2 * (50 + 22)) === '0002')).toBe(true);
    expect(Math.abs(replies[0].micros / 1e6 - Date.now() / 1000)).toBeLessThan(60);
  });

  it('loops, at so many packets a second, until its time is over', async () => {
    const { replay } = (await import(BUILT)) as { replay: typeof Replay };
    const { namespace, heard } = await listen();
    const frame = udp({ src: 5, dst: 7, payload: 100, sport: 4242 });
    const file = writeTimed(scratchFile('in.pcap'), [{ micros: 1, data: inTunnel(frame) }]);
    const report = await replay({
      config: configOf(namespace),
      inputs: [{ file, underlay: 'lan' }],
      ...{ clock: 'real', pace: { pps: 500 }, loop: 0, durationSec: 2 },
    });
    expect(report.stopped).toBe(true);
    expect(totals(report).addUp).toBe(true);
    const { packets } = report.inputs[0];
    // Who wakes up late has no time left to catch up at the end.
    expect(packets).toBeGreaterThan(500);
    expect(packets).toBeLessThanOrEqual(1000);
    const sent = (await heard()).filter(({ data }) => data === Buffer.from(frame).toString('hex'));
    expect(sent).toHaveLength(packets);
  });
});
