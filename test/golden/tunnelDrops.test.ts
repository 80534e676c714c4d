// Tunnel packets of other implementations that must not pass: each is counted under its reason, and nothing comes out.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type TunnelPlan, tunnelPlan } from '../../src/tunnel/tunnel.js';
import { readFrames, readTable, writePcap } from '../rig/captureFiles.js';
import { captureFile } from './innerTable.js';
import { type ReplayOptions, replay } from './replay.js';

const FROM = '10.9.0.2';
const TO = '10.9.0.3';
const ROUTED: ReplayOptions['routed'] = { port: '10.42.0.2/32', peer: '10.42.0.1/32' };
const data = (text: string) => Buffer.from(text, 'hex');
const geneve = (rest: Partial<TunnelPlan> = {}) => tunnelPlan('geneve', 42, rest);
const gre = (id: number, rest: Partial<TunnelPlan> = {}) => tunnelPlan('gre', id, rest);
const IP = { payload: 'ip' as const };

/** Frames from the first station of a kernel's capture. */
function framesOf(file: string): Buffer[] {
  const rows = readTable(captureFile(`${file}.tsv`));
  return readFrames(captureFile(`${file}.pcap`)).filter((_, i) => rows[i]['ip.src'].split(',')[0] === FROM);
}

const unwelcome: { what: string; file: string; tunnel: TunnelPlan; routed?: true; reason: string }[] = [
  {
    what: 'options of a critical type that nobody asked for, the C bit clear',
    file: 'kernel-geneve-crit',
    tunnel: geneve(),
    reason: 'critical-option',
  },
  {
    what: 'options with other data than wanted',
    file: 'kernel-geneve-opts',
    tunnel: geneve({ match: [{ class: 0x0102, type: 1, data: data('11223345') }] }),
    reason: 'option-mismatch',
  },
  {
    what: 'no option where one is wanted',
    file: 'kernel-geneve',
    tunnel: geneve({ match: [{ class: 0x0102, type: 1, data: null }] }),
    reason: 'option-mismatch',
  },
  { what: 'another VNI', file: 'kernel-geneve', tunnel: tunnelPlan('geneve', 43), reason: 'unknown-vni' },
  { what: 'another key', file: 'kernel-gretap-key', tunnel: gre(43), reason: 'unknown-vni' },
  { what: 'a key where there is none', file: 'kernel-gretap-key', tunnel: gre(0), reason: 'unknown-vni' },
  { what: 'no key where there is one', file: 'kernel-gretap', tunnel: gre(42), reason: 'unknown-vni' },
  {
    what: 'frames for a network of packets',
    file: 'kernel-gretap',
    tunnel: gre(0, IP),
    routed: true,
    reason: 'tunnel-protocol',
  },
  { what: 'packets for a network of frames', file: 'kernel-gre', tunnel: gre(0), reason: 'tunnel-protocol' },
  { what: 'WireGuard', file: 'kernel-wireguard', tunnel: geneve(), reason: 'not-for-us' },
];

describe('tunnel packets that are dropped', () => {
  let folder: string;
  let input: string;
  let output: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'weft-golden-'));
    input = join(folder, 'outer.pcap');
    output = join(folder, 'inner.pcapng');
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  function receive(frames: Buffer[], tunnel: TunnelPlan, routed: ReplayOptions['routed']) {
    writePcap(input, frames);
    const settings = { udpPort: tunnel.udpPort };
    const result = replay({
      ...{ address: TO, peers: [FROM], tunnel, routed, settings },
      ...{ underlay: { input }, port: { output } },
    });
    expect(result.account).toMatchObject({ received: frames.length, held: 0 });
    return { drops: result.drops, delivered: readFrames(output).length };
  }

  it.each(unwelcome)('$what: $reason', ({ file, tunnel, routed, reason }) => {
    const frames = framesOf(file);
    expect(frames.length).toBeGreaterThan(5);
    const got = receive(frames, tunnel, routed && ROUTED);
    expect(got).toEqual({ drops: { [reason]: frames.length }, delivered: 0 });
  });

  it('a GRE packet with one byte changed: tunnel-checksum', () => {
    const frames = framesOf('kernel-gre-kcs');
    const damaged = Buffer.from(frames[2]);
    damaged[damaged.length - 1] ^= 1;
    const got = receive([frames[0], frames[1], damaged, ...frames.slice(3)], gre(42, IP), ROUTED);
    expect(got).toEqual({ drops: { 'tunnel-checksum': 1 }, delivered: frames.length - 1 });
  });

  it('GRE packets out of order, or twice: tunnel-sequence', () => {
    const [first, second, third, fourth] = framesOf('kernel-gre-kcs');
    const order = [first, third, second, third, fourth];
    const sequence = gre(42, { ...IP, checksum: true, sequence: true });
    expect(receive(order, sequence, ROUTED)).toEqual({ drops: { 'tunnel-sequence': 2 }, delivered: 3 });
    // Without sequence numbers of its own, a network takes them as they come.
    expect(receive(order, gre(42, IP), ROUTED)).toEqual({ drops: {}, delivered: 5 });
  });
});
