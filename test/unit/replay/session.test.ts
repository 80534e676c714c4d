// Replays in this thread: captures in, captures and a report out.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { ConfigInput } from '../../../src/control/config/config.js';
import type { ReplayOptions, ReplayReport } from '../../../src/replay/options.js';
import { makeTask } from '../../../src/replay/replay.js';
import { runSession } from '../../../src/replay/session.js';
import { pcapOf, readRecords, type TimedFrame, writeTimed } from '../../rig/captureRecords.js';
import { arpRequest, BROADCAST, join, outer, toHex, udp, vxlan } from '../../rig/frames.js';
import { pcapngParts } from '../wire/captureBuilder.js';

const folder = mkdtempSync(joinPath(tmpdir(), 'weft-replay-'));
afterAll(() => rmSync(folder, { recursive: true }));
const path = (name: string) => joinPath(folder, name);
const OUT = path('out.pcapng');

const SELF = '198.18.0.1';
const PEER = '198.18.0.2';
/** MACs that nobody configured are made of addresses: 198 is 0xc6, 18 is 0x12. */
const SELF_MAC = join('0200c6120001');
const PEER_MAC = join('0200c6120002');

type Network = ConfigInput['networks'][number];

const config = (network: Partial<Network> = {}, underlay = {}): ConfigInput => ({
  underlays: [{ name: 'lan', address: SELF, checksum: false, ...underlay }],
  networks: [
    {
      name: 'blue',
      vni: 42,
      underlay: 'lan',
      peers: [PEER],
      ports: [
        { type: 'tap', name: 'web', owner: 'nobody-knows-him' },
        { type: 'tap', name: 'db' },
      ],
      ...network,
    },
  ],
});

function run(options: Partial<ReplayOptions> & Pick<ReplayOptions, 'inputs'>): ReplayReport {
  const report = runSession(makeTask({ config: config(), out: OUT, ...options }, new SharedArrayBuffer(32)));
  const dropped = Object.values(report.dropped).reduce((sum, n) => sum + n, 0);
  expect(report.read + report.copied + report.made).toBe(report.forwarded + dropped + report.consumed);
  expect(report.forwarded).toBe(report.written + report.unwritten);
  expect(report.held).toBe(0);
  expect(report.inputs.reduce((sum, input) => sum + input.packets, 0)).toBe(report.read);
  return report;
}

const at = (micros: number, data: Uint8Array): TimedFrame => ({ micros, data });
const START = 1_700_000_000_000_000;
const frame = (src: number, dst: number | Uint8Array, payload = 30, sport = 7) => udp({ src, dst, payload, sport });

/** Devices that a packet came out of, each with its time since the start. */
const seen = (micros = START) => readRecords(OUT).map((r) => [r.device, r.micros - micros]);

describe('one capture', () => {
  it('has the time of each input packet on each output packet, though a burst has 64', () => {
    const frames = Array.from({ length: 150 }, (_, i) => at(START + i * i * 7, frame(1, 2, i)));
    const input = writeTimed(path('in.pcap'), frames);
    const report = run({
      inputs: [{ file: input, port: 'web' }],
      outOnly: ['lan'],
      config: config({ ports: [{ type: 'tap', name: 'web' }] }),
    });
    const records = readRecords(OUT);
    expect(records.map((r) => r.micros)).toEqual(frames.map((f) => f.micros));
    // Ethernet, IPv4, UDP with a source port of the flow's hash, VXLAN, and the frame.
    const inner = records.map((r) => r.data.slice(100));
    expect(inner).toEqual(frames.map((f) => toHex(f.data)));
    const first = Buffer.from(records[0].data, 'hex');
    const sport = first.readUInt16BE(34);
    const fields = { src: SELF, dst: PEER, sport, dstMac: PEER_MAC, srcMac: SELF_MAC };
    expect(records[0].data).toBe(toHex(outer({ ...fields, checksum: 'zero' }, vxlan(42, frames[0].data))));
    expect(report).toMatchObject({ read: 150, written: 150, unwritten: 0, dropped: {}, flows: 1, stopped: false });
    expect(report.captureSeconds).toBeCloseTo((149 * 149 * 7) / 1e6, 6);
    expect(report.inputs).toMatchObject([
      { file: input, device: 'web', format: 'pcap', packets: 150, cut: 0, error: null },
    ]);
    expect(report.inputs[0].bytes).toBe(readFileSync(input).length);
    expect(report.outputs).toEqual([
      { file: OUT, device: 'lan', packets: 150, bytes: records.reduce((sum, r) => sum + r.data.length / 2, 0) },
    ]);
  });

  it('comes in at an underlay as outer frames', () => {
    const inner = [frame(9, BROADCAST), frame(9, BROADCAST, 5)];
    const outers = inner.map((f, i) => at(START + i, outer({ src: PEER, dst: SELF, checksum: 'good' }, vxlan(42, f))));
    const stranger = at(START + 2, outer({ src: '198.18.0.9', dst: SELF, checksum: 'good' }, vxlan(42, inner[0])));
    const file = writeTimed(path('outer.pcap'), [...outers, stranger]);
    const report = run({ inputs: [{ file, underlay: 'lan' }] });
    expect(seen()).toEqual([
      ['web', 0],
      ['web', 1],
      ['db', 0],
      ['db', 1],
    ]);
    expect(report).toMatchObject({ read: 3, copied: 2, written: 4, dropped: { 'unknown-peer': 1 } });
    expect(report.underlays).toMatchObject([{ name: 'lan', rxPackets: 3 }]);
    expect(report.ports).toMatchObject([
      { name: 'web', txPackets: 2 },
      { name: 'db', txPackets: 2 },
    ]);
  });

  it('cut short, with packets that are cut: both are told', () => {
    const whole = pcapOf([
      at(START, frame(1, 2)),
      { ...at(START + 1, frame(1, 2)), original: 999 },
      at(START + 2, frame(1, 2)),
    ]);
    const file = path('cut.pcap');
    writeFileSync(file, whole.subarray(0, whole.length - 1));
    const report = run({ inputs: [{ file, port: 'web' }] });
    expect(report.inputs).toMatchObject([{ packets: 2, cut: 1, truncated: true, error: null }]);
    expect(report).toMatchObject({ read: 2, dropped: { truncated: 1 } });
  });

  it('that is damaged is replayed up to there', () => {
    const file = path('damaged.pcap');
    writeFileSync(file, Buffer.concat([pcapOf([at(START, frame(1, 2))]), Buffer.alloc(40, 0xff)]));
    const report = run({ inputs: [{ file, port: 'web' }] });
    expect(report.read).toBe(1);
    expect(report.inputs[0].error).toMatch(/record of 4294967295 bytes, more than 262144, at byte/);
  });

  it('of nothing gives an empty report and a file that is one', () => {
    const file = writeTimed(path('empty.pcap'), []);
    const report = run({ inputs: [{ file, port: 'web' }] });
    expect(report).toMatchObject({ read: 0, written: 0, flows: 0, captureSeconds: 0, stopped: false });
    expect(readRecords(OUT)).toEqual([]);
  });
});

describe('the virtual clock', () => {
  it('ages MACs by the timestamps', () => {
    const second = 1_000_000;
    const frames = [
      at(START, frame(1, BROADCAST)),
      // Station 1 is known for 300 s after it was heard last.
      at(START + 299 * second, outer({ src: PEER, dst: SELF, checksum: 'good' }, vxlan(42, frame(9, 1)))),
      at(START + 301 * second, outer({ src: PEER, dst: SELF, checksum: 'good' }, vxlan(42, frame(9, 1)))),
    ];
    const inputs = [
      { file: writeTimed(path('a.pcap'), [frames[0]]), port: 'web' },
      { file: writeTimed(path('b.pcap'), [frames[1], frames[2]]), underlay: 'lan' },
    ];
    run({ inputs, outOnly: ['web', 'db'] });
    expect(seen().filter(([, micros]) => micros !== 0)).toEqual([
      ['web', 299 * second],
      ['web', 301 * second],
      ['db', 301 * second],
    ]);
  });

  it('refills the broadcast limit as time passes', () => {
    const frames = [0, 1, 2, 3, 4].map((i) => at(START + i, frame(1, BROADCAST)));
    const later = [0, 1, 2, 3, 4].map((i) => at(START + 1_000_000 + i, frame(1, BROADCAST)));
    const file = writeTimed(path('storm.pcap'), [...frames, ...later]);
    const report = run({ inputs: [{ file, port: 'web' }], config: config({ broadcastLimit: 3 }) });
    expect(report.dropped).toEqual({ 'broadcast-limit': 4 });
  });

  it('does not go back with a timestamp, but writes it as it is', () => {
    const frames = [5, 3, 4, 6].map((second) => at(START + second * 1_000_000, frame(1, 2)));
    const file = writeTimed(path('back.pcap'), frames);
    expect(run({ inputs: [{ file, port: 'web' }], outOnly: ['lan'] })).toMatchObject({ written: 4, captureSeconds: 1 });
    expect(readRecords(OUT).map((r) => r.micros)).toEqual(frames.map((f) => f.micros));
  });

  it('passes a gap of centuries in no time', () => {
    const file = writeTimed(path('gap.pcap'), [at(0, frame(1, 2)), at(4_000_000_000 * 1_000_000, frame(1, 2))]);
    expect(run({ inputs: [{ file, port: 'web' }] })).toMatchObject({ read: 2, captureSeconds: 4e9 });
  });
});

describe('several captures', () => {
  it('are merged by time, equal times in the order of the inputs', () => {
    const a = writeTimed(
      path('a.pcap'),
      [0, 10, 20, 30].map((t) => at(START + t, frame(1, BROADCAST))),
    );
    const b = writeTimed(
      path('b.pcap'),
      [10, 15, 30, 40].map((t) => at(START + t, frame(2, BROADCAST))),
    );
    run({
      inputs: [
        { file: b, port: 'db' },
        { file: a, port: 'web' },
      ],
      outOnly: ['lan'],
    });
    const order = readRecords(OUT).map((r) => `${r.data.slice(122, 124)}@${r.micros - START}`);
    expect(order).toEqual(['01@0', '02@10', '01@10', '02@15', '01@20', '02@30', '01@30', '02@40']);
  });

  it('end at a limit of packets, or of their seconds', () => {
    const file = writeTimed(
      path('many.pcap'),
      Array.from({ length: 100 }, (_, i) => at(START + i * 250_000, frame(1, 2))),
    );
    const inputs = [{ file, port: 'web' }];
    expect(run({ inputs, limit: 70 })).toMatchObject({ read: 70, stopped: true });
    expect(run({ inputs, limit: 100 })).toMatchObject({ read: 100, stopped: false });
    expect(run({ inputs, durationSec: 2.5 })).toMatchObject({ read: 10, stopped: true });
  });
});

describe('pcapng', () => {
  const { section, interface: iface, packet, option, endOfOptions } = pcapngParts(true);
  const text = (value: string) => new TextEncoder().encode(value);
  const named = (name: string) => iface(1, 0, option(2, text(name)), option(3, text(`about ${name}`)), endOfOptions);
  const blocks = join(
    ...[section(), named('eth0'), named('eth1')],
    packet(1, 0, 1_000_000, frame(1, 2), 72, option(1, text('first')), endOfOptions),
    packet(0, 0, 2_000_000, frame(1, 2, 31), 73),
    packet(1, 0, 3_000_000, frame(1, 2, 32), 74, option(1, text('third')), endOfOptions),
  );
  const file = path('in.pcapng');

  it('keeps comments of packets', () => {
    writeFileSync(file, blocks);
    run({ inputs: [{ file, port: 'web' }], outOnly: ['lan'] });
    expect(readRecords(OUT).map((r) => [r.device, r.comments, r.micros])).toEqual([
      ['lan', ['first'], 1_000_000],
      ['lan', [], 2_000_000],
      ['lan', ['third'], 3_000_000],
    ]);
  });

  it('keeps interfaces where it is told to', () => {
    writeFileSync(file, blocks);
    run({ inputs: [{ file, port: 'web' }], outOnly: ['lan'], keepInterfaces: true });
    expect(readRecords(OUT).map((r) => [r.device, r.comments])).toEqual([
      ['eth1', ['first']],
      ['eth0', []],
      ['eth1', ['third']],
    ]);
    expect(readFileSync(OUT, 'latin1')).toContain('about eth1');
  });
});

describe('networks of mode l3', () => {
  const packet = join('4500 0014 0000 4000 40 fd 0000 0a2a0105 0a2a0207');
  packet.set([0x23, 0xa0], 10);
  const routed: Partial<Network> = {
    vni: undefined,
    encapsulation: 'ipip',
    peers: [{ address: PEER, prefixes: ['10.42.2.0/24'] }],
    ports: [{ type: 'tun', name: 'r0', prefixes: ['10.42.1.0/24'] }],
  };

  it('take raw IP and send it through the tunnel', () => {
    const file = writeTimed(path('raw.pcap'), [at(START, packet)], 101);
    const report = run({ inputs: [{ file }], config: config(routed), outOnly: ['lan'] });
    expect(report.dropped).toEqual({});
    const [record] = readRecords(OUT);
    expect(record.linkType).toBe(1);
    const bytes = Buffer.from(record.data, 'hex');
    expect([bytes.readUInt16BE(12), bytes[23], bytes.length]).toEqual([0x0800, 4, 14 + 20 + 20]);
    // As it is, TTL included: hosts that route into the tunnel have counted their hop (RFC 2003 section 3.1).
    expect(bytes.subarray(34).toString('hex')).toBe(toHex(packet));
  });

  it('stand as raw IP beside Ethernet in one pcapng file, and not in a pcap file', () => {
    const file = writeTimed(path('raw.pcap'), [at(START, packet)], 101);
    const both = { inputs: [{ file }], config: config(routed) };
    expect(() => run({ ...both, out: path('out.pcap') })).toThrow(
      /one link type, and the outputs are Ethernet and raw IP/,
    );
    run({ ...both, outDir: folder, out: undefined });
    expect(readFileSync(path('r0.pcapng')).readUInt16LE(readFileSync(path('r0.pcapng')).readUInt32LE(4) + 8)).toBe(101);
    expect(readRecords(path('lan.pcapng'))).toHaveLength(1);
  });
});

describe('options that do not fit', () => {
  const file = path('some.pcap');
  writeTimed(file, [at(START, arpRequest(1))]);

  it.each<[string, Partial<ReplayOptions>, RegExp]>([
    ['a port that is not there', { inputs: [{ file, port: 'wbe' }] }, /there is no port wbe/],
    ['no port named', { inputs: [{ file }] }, /which of 2 ports/],
    [
      'one port twice',
      {
        inputs: [
          { file, port: 'web' },
          { file, port: 'web' },
        ],
      },
      /port web has two captures/,
    ],
    ['nothing to read', { inputs: [] }, /no capture to replay/],
    ['two outputs', { inputs: [{ file, port: 'web' }], outDir: folder }, /out and outDir/],
    ['an output that is the input', { inputs: [{ file, port: 'web' }], out: file }, /both read and written/],
    ['an output of nobody', { inputs: [{ file, port: 'web' }], outOnly: ['x'] }, /no port or underlay x/],
    ['a file that is not there', { inputs: [{ file: path('none'), port: 'web' }] }, /port web: .*none: ENOENT/],
    ['a folder that is not there', { inputs: [{ file, port: 'web' }], out: path('no/x.pcapng') }, /output: .*ENOENT/],
    [
      'a speed without the real clock',
      { inputs: [{ file, port: 'web' }], pace: { pps: 5 } },
      /a speed belongs to the real clock/,
    ],
    ['a full disk', { inputs: [{ file, port: 'web' }], out: '/dev/full' }, /output: \/dev\/full: ENOSPC/],
  ])('%s', (_, options, message) => {
    expect(() => run(options as ReplayOptions)).toThrow(message);
  });
});

it('gives the same bytes and counters every time', () => {
  const frames = Array.from({ length: 3000 }, (_, i) =>
    at(START + ((i * 7919) % 9000) * 1000, frame(i % 50, (i * 3) % 60, i % 400, i % 7)),
  );
  const file = writeTimed(path('mixed.pcap'), frames);
  const back = writeTimed(
    path('back.pcap'),
    frames.map(({ micros, data }) =>
      at(micros + 500, outer({ src: PEER, dst: SELF, checksum: 'good' }, vxlan(42, data))),
    ),
  );
  const inputs = [
    { file, port: 'web' },
    { file: back, underlay: 'lan' },
  ];
  const once = () => {
    const { seconds, mpps, ...report } = run({ inputs });
    return { report, bytes: readFileSync(OUT) };
  };
  const first = once();
  for (let i = 0; i < 3; i++) {
    const again = once();
    expect(again.report).toEqual(first.report);
    expect(again.bytes.equals(first.bytes)).toBe(true);
  }
});
