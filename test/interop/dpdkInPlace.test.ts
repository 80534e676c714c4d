// A frame that a device of DPDK has received leaves by a socket of the kernel from where it lies: what sendmmsg is given points into its mbuf.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, it } from 'vitest';
import { writePcap } from '../rig/captureFiles.js';
import { udp } from '../rig/frames.js';
import { makeHosts, UNDERLAY_A, UNDERLAY_B } from '../rig/hosts.js';
import { removeNamespaces } from '../rig/namespaces.js';
import { expectQuiet, scratchFile, up } from '../rig/node.js';
import { describeWith } from '../rig/requirements.js';
import { until } from '../rig/waiting.js';

const SOURCE = fileURLToPath(new URL('../rig/sentFrom.c', import.meta.url));
const VXLAN_BYTES = 8;

function compile(): string {
  const library = scratchFile('sentFrom.so');
  const flags = String(execFileSync('pkg-config', ['--cflags', 'libdpdk']))
    .trim()
    .split(/\s+/);
  execFileSync('cc', ['-shared', '-fPIC', '-O1', ...flags, '-o', library, SOURCE, '-ldl']);
  return library;
}

describeWith(['root', 'addon', 'dpdk', 'compiler', 'ip'], 'from a port over DPDK to a socket underlay', () => {
  afterAll(removeNamespaces);

  it('every frame is sent from the mbuf that it came in', async () => {
    const input = scratchFile('in.pcap');
    // Of one flow and of many, of equal lengths, which leave as one UDP_SEGMENT message, and of all others.
    const frames = Array.from({ length: 256 }, (_, i) =>
      udp({ src: 1, dst: 2, sport: 1000 + (i < 64 ? 0 : i), payload: i < 64 ? 1000 : 4 * i }),
    );
    writePcap(input, frames);
    const { a } = makeHosts();
    const log = scratchFile('sent');
    process.env.LD_PRELOAD = compile();
    process.env.WEFT_SENT_FROM = log;
    const node = await up(a.namespace, {
      underlays: [{ name: 'lan', address: UNDERLAY_A }],
      networks: [
        {
          name: 'blue',
          vni: 42,
          underlay: 'lan',
          peers: [UNDERLAY_B],
          broadcastLimit: 0,
          suppressNeighbours: false,
          ports: [{ type: 'dpdk', name: 'file', devargs: `net_pcap0,rx_pcap=${input}`, queues: 1 }],
        },
      ],
    }).finally(() => {
      delete process.env.LD_PRELOAD;
      delete process.env.WEFT_SENT_FROM;
    });
    await until('all are sent', async () => (await node.stats()).underlays[0].txPackets >= frames.length);
    await expectQuiet(node);
    await node.end();
    const calls = (existsSync(log) ? readFileSync(log, 'utf8') : '').trim().split('\n');
    const [inPlace, bytes, elsewhere] = calls
      .map((line) => line.split(' ').map(Number))
      .reduce((sum, call) => sum.map((n, i) => n + call[i]));
    expect({ inPlace, bytes }).toEqual({
      inPlace: frames.length,
      bytes: frames.reduce((sum, { length }) => sum + length, 0),
    });
    expect(elsewhere).toBe(frames.length * VXLAN_BYTES);
  });
});
