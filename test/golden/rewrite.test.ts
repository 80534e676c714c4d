import { describe, expect, it } from 'vitest';
import { compareCaptures } from '../../src/replay/compare.js';
import type { ReplayOptions, ReplayReport } from '../../src/replay/options.js';
import { makeTask } from '../../src/replay/replay.js';
import { totals } from '../../src/replay/report.js';
import { type RewriteOptions, rewrite } from '../../src/replay/rewrite.js';
import { runSession } from '../../src/replay/session.js';
import { readFrames, writePcap } from '../rig/captureFiles.js';
import { arpRequest, tcp, toHex, udp } from '../rig/frames.js';
import { isMet } from '../rig/requirements.js';
import { readLayers } from '../rig/tsharkLayers.js';
import { captureFile, storedInner, TUNNEL_CAPTURES } from './innerTable.js';
import { FRAMES, hex, makeScratch } from './scratch.js';

const { path, INPUT, OUT } = makeScratch('rewrite');

/** In this thread: a thread for each would be slow. */
const inThread = async (options: ReplayOptions): Promise<ReplayReport> =>
  runSession(makeTask(options, new SharedArrayBuffer(64)));

async function rewritten(input: string, options: Omit<RewriteOptions, 'inputs'>): Promise<ReplayReport> {
  const report = await rewrite({ out: OUT, ...options, inputs: [input] }, inThread);
  expect(totals(report).addUp).toBe(true);
  expect(report.held).toBe(0);
  return report;
}

describe('tunnels taken off', () => {
  // FOU and GUE were captured on ports that belong to nobody.
  const names = Object.keys(TUNNEL_CAPTURES).filter((name) => !/fou|gue/.test(name));

  it.each(names)(
    '%s: come to what tshark finds inside, under the outer Ethernet header where there is none',
    async (name) => {
      const capture = captureFile(`${name}.pcap`);
      await rewritten(capture, { pop: 'auto' });
      const frames = readFrames(capture);
      const expected = storedInner(name).map(({ protocol, at }, i) => {
        const inner = frames[i].subarray(at);
        if (protocol === 'eth') return inner;
        const type = Buffer.from(protocol === 'ip' ? '0800' : '86dd', 'hex');
        return Buffer.concat([frames[i].subarray(0, 12), type, inner]);
      });
      expect(hex(readFrames(OUT))).toEqual(hex(expected));
    },
  );

  it('leave what is no tunnel as it is', async () => {
    await rewritten(INPUT, { pop: 'auto' });
    expect(hex(readFrames(OUT))).toEqual(hex(FRAMES));
  });
});

const REMOTES = ['198.18.0.2', 'fd00::2'];
const specsOf = (kinds: readonly string[]) =>
  REMOTES.flatMap((remote) => kinds.map((kind) => `${kind}${kind.endsWith(':') ? '' : ','}remote=${remote}`));

async function roundTrip(spec: string, input: string, inside: (frame: Buffer) => Buffer): Promise<void> {
  const frames = readFrames(input);
  const report = await rewritten(input, { push: [spec] });
  expect(report).toMatchObject({ read: frames.length, forwarded: frames.length, written: frames.length });
  const pushed = readFrames(OUT);
  pushed.forEach((frame, i) => {
    const inner = inside(frames[i]);
    expect(toHex(frame.subarray(frame.length - inner.length))).toBe(toHex(inner));
  });
  // tshark has no reader for GUE, and takes what FOU carries for IPv4 when told.
  if (!/^(gue|fou)/.test(spec) && isMet('tshark'))
    for (const [i, { layers, faults }] of (await readLayers(OUT)).entries()) {
      expect(faults).toEqual([]);
      expect(layers.map((layer) => layer.at)).toContain(pushed[i].length - inside(frames[i]).length);
    }
  const back = path('back.pcapng');
  await rewritten(OUT, { pop: 'auto', out: back });
  const ignore = inside(frames[0]).length === frames[0].length ? [] : ['eth'];
  expect(await compareCaptures(back, input, { ignore, times: true })).toMatchObject({ same: frames.length, ok: true });
}

describe('tunnels put on', () => {
  const ethernet = [
    'vxlan:vni=42',
    'vxlan:vni=42,csum=off',
    'vxlan:vni=42,group=7',
    'vxlan:vni=42,gpe',
    'geneve:vni=42',
  ];
  ethernet.push('geneve:vni=42,options=0102:80:00010002+014b:1', 'gre:', 'gre:key=42,csum,seq');
  it.each(specsOf(ethernet))('%s: tshark finds no fault and the frame inside, and it comes off again', async (spec) => {
    await roundTrip(spec, INPUT, (frame) => frame);
  });

  const packets = path('packets.pcap');
  writePcap(packets, [udp({ payload: 30 }), tcp({ payload: 1200 }), tcp({ family: 6, payload: 9 })]);
  const bare = ['gre:l3', 'gre:l3,key=4294967295,csum,seq', 'ipip:', 'fou:', 'gue:'];
  it.each(specsOf(bare))('%s: the same for the packet without its Ethernet header', async (spec) => {
    await roundTrip(spec, packets, (frame) => frame.subarray(14));
  });

  it('nest, and come off all together', async () => {
    const push = ['vxlan:vni=1,remote=198.18.0.2', 'ipip:remote=198.18.0.4', 'geneve:vni=2,remote=fd00::2'];
    await rewritten(packets, { push });
    const back = path('back.pcapng');
    await rewritten(OUT, { pop: 'auto:depth=3', out: back });
    expect((await compareCaptures(back, packets)).ok).toBe(true);
    expect(await rewritten(OUT, { pop: 'auto:depth=2', out: back })).toMatchObject({
      forwarded: 0,
      dropped: { 'nesting-limit': 3 },
    });
  });

  it('drop and count what does not fit the MTU', async () => {
    // 50 bytes of outer IP, UDP, VXLAN and inner Ethernet headers; the sender of the TCP segment is told, which nobody writes.
    const report = await rewritten(INPUT, { push: ['vxlan:vni=1,remote=198.18.0.2,mtu=800'] });
    expect(report).toMatchObject({ read: 5, made: 1, written: 4, unwritten: 1, dropped: { 'too-big': 1 } });
  });

  it('drop and count what an IP tunnel cannot carry', async () => {
    const report = await rewritten(INPUT, { push: ['ipip:remote=198.18.0.2'] });
    expect(report).toMatchObject({ read: 5, forwarded: 4, dropped: { 'tunnel-protocol': 1 } });
  });

  it('copy TTL and DSCP of the packet inside when told', async () => {
    await rewritten(INPUT, { push: ['vxlan:vni=1,remote=198.18.0.2,ttl=inherit,dscp=inherit'] });
    const [, , , , frame] = readFrames(OUT);
    expect([frame[15], frame[22]]).toEqual([0xb9, 64]);
  });
});

describe('fields set', () => {
  it('on the way from a file to a file', async () => {
    const set = [
      { field: 'vlan', value: 'none' },
      { field: 'ttl', value: '9' },
      { field: 'dst-mac', value: '02:00:00:00:00:63' },
    ];
    await rewritten(INPUT, { set });
    const dst = Uint8Array.of(2, 0, 0, 0, 0, 0x63);
    const arp = arpRequest(1);
    arp.set(dst);
    const other = { dst, ipDst: 2, ttl: 9 };
    const expected = [
      arp,
      udp({ payload: 30, ...other }),
      tcp({ payload: 1200, ...other }),
      tcp({ family: 6, payload: 9, ...other }),
      udp({ family: 6, payload: 700, tos: 0xb9, ...other }),
    ];
    expect(hex(readFrames(OUT))).toEqual(hex(expected));
  });

  it('before a tunnel is put on, also where a tag makes the frame longer', async () => {
    const set = [
      { field: 'ttl', value: '9' },
      { field: 'vlan', value: '5' },
    ];
    await rewritten(INPUT, { set, push: ['vxlan:vni=3,remote=198.18.0.2'] });
    expect(toHex(readFrames(OUT)[1].subarray(50))).toBe(toHex(udp({ payload: 30, ttl: 9, tags: [[0x8100, 5]] })));
  });
});
