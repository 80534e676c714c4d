// What weft sends, as tshark reads it: every outer and inner field, every checksum verified.
import { afterEach, expect, it } from 'vitest';
import type { ConfigInput } from '../../src/control/config/config.js';
import { ACK, ethernet, stationMac, tcp, udp } from '../rig/frames.js';
import { addKernelVxlan, KERNEL_DEVICE, macOf, makeHosts, pinOffloads, UNDERLAY_A, UNDERLAY_B } from '../rig/hosts.js';
import { removeNamespaces, runIn } from '../rig/namespaces.js';
import { expectQuiet, scratchFile, up } from '../rig/node.js';
import { expectGood, OUTER_FIELDS, type OuterRow } from '../rig/outerFields.js';
import { describeWith } from '../rig/requirements.js';
import { ping, type RawFrame, sendFrames, sendTcp, sendUdp } from '../rig/traffic.js';
import { readFields, record } from '../rig/tshark.js';
import { until } from '../rig/waiting.js';

const WEFT = '10.1.0.1';
const KERNEL = '10.1.0.2';
const TAP = 'weft0';
const VNI = 0xabcdef;

/** A TCP superframe as a stack hands it to its device: the checksum begun, the segments to be cut at `size`. */
function superframe(size: number, fields: Parameters<typeof tcp>[0]): RawFrame {
  const frame = tcp({ ...fields, checksum: 'unfinished' });
  const l4 = 14 + 4 * (fields?.tags?.length ?? 0) + (fields?.family === 6 ? 40 : 20);
  const vnet = Buffer.alloc(10);
  vnet[0] = 1;
  vnet[1] = fields?.family === 6 ? 4 : 1;
  vnet.writeUInt16LE(l4 + 20, 2);
  vnet.writeUInt16LE(size, 4);
  vnet.writeUInt16LE(l4, 6);
  vnet.writeUInt16LE(16, 8);
  return { frame, vnet };
}

const crowd = (n: number) => Array.from({ length: n }, (_, i) => udp({ src: 1, dst: 2, sport: 3000 + i, payload: 64 }));

describeWith(['root', 'tun', 'addon', 'ip', 'ping', 'ethtool', 'tcpdump', 'tshark', 'python3'], 'tshark', () => {
  afterEach(removeNamespaces);

  it.each([
    { checksum: true, dscp: 46, ttl: 17, sourcePorts: '50000-50007', udpPort: 4789 },
    { checksum: false, dscp: 'inherit' as const, ttl: 64, sourcePorts: '40001-40003', udpPort: 8472 },
  ])('reads good packets from the sockets: $checksum, DSCP $dscp, TTL $ttl, ports $sourcePorts', async (settings) => {
    const hosts = makeHosts();
    pinOffloads(hosts);
    const [a, b] = [hosts.a.namespace, hosts.b.namespace];
    for (const namespace of [a, b]) runIn(namespace, 'sh', '-c', 'echo 1 >/proc/sys/net/ipv4/tcp_ecn');
    const { checksum, udpPort } = settings;
    addKernelVxlan({
      host: hosts.b,
      local: UNDERLAY_B,
      remote: UNDERLAY_A,
      vni: VNI,
      udpPort,
      addresses: [`${KERNEL}/24`],
    });
    const port = { type: 'tap' as const, name: TAP, addresses: [`${WEFT}/24`] };
    const node = await up(a, {
      underlays: [{ name: 'veth', address: UNDERLAY_A, ...settings }],
      networks: [{ name: 'blue', vni: VNI, underlay: 'veth', peers: [UNDERLAY_B], ports: [port] }],
    });
    const recording = await record(a, hosts.a.device, { filter: `udp dst port ${udpPort} and src host ${UNDERLAY_A}` });

    expect(await ping(a, KERNEL, { tos: 0xba })).toBe(3);
    expect(await ping(a, KERNEL, { size: 1400, tos: 0x29 })).toBe(3);
    const stream = await sendTcp(a, b, KERNEL, 3_000_000);
    expect(stream.received).toEqual(stream.sent);
    const answer = await sendTcp(b, a, WEFT, 1_000_000);
    expect(answer.received).toEqual(answer.sent);
    expect(await sendUdp(a, b, KERNEL, 100, 1400)).toEqual({ datagrams: 100, damaged: 0 });
    const dst = Uint8Array.from(Buffer.from(macOf(b, KERNEL_DEVICE).replaceAll(':', ''), 'hex'));
    const tagged = { src: 1, dst, tags: [[0x8100, 0x6007]] as [number, number][] };
    await sendFrames(a, TAP, [
      udp({ ...tagged, payload: 333, tos: 0x05 }),
      superframe(1000, { ...tagged, payload: 20_000, seq: 1000, flags: ACK }),
      superframe(1200, { ...tagged, family: 6, tos: 0x22, payload: 9_000, seq: 5000, flags: ACK }),
      ...crowd(60),
    ]);
    await expectQuiet(node);

    const rows: OuterRow[] = await readFields(await recording.stop(), OUTER_FIELDS, { udpPort });
    expect(rows.length).toBeGreaterThan(2000);
    const [first, last] = settings.sourcePorts.split('-').map(Number);
    const isSourcePort = (n: number) => n >= first && n <= last;
    const dscp = settings.dscp === 'inherit' ? -1 : settings.dscp;
    expectGood(rows, { vni: VNI, checksum, dscp, ttl: settings.ttl, udpPort, isSourcePort });
    // Both ends speak ECN: data segments are marked ECT(0) within and without.
    expect(rows.some((row) => row['tcp.len'][0] > '0' && (Number(row['ip.dsfield'][0]) & 3) === 2)).toBe(true);
    // Every source port is in use.
    expect(new Set(rows.map((row) => row['udp.srcport'][0])).size).toBe(last - first + 1);

    const withTag = rows.filter((row) => row['vlan.id'].length > 0);
    for (const row of withTag) expect([row['vlan.id'], row['vlan.priority']]).toEqual([['7'], ['3']]);
    const segments = (v6: boolean) =>
      withTag
        .filter((row) => row['tcp.len'].length > 0 && row['ipv6.src'].length > 0 === v6)
        .map((row) => [Number(row['tcp.seq_raw'][0]), Number(row['tcp.len'][0])]);
    expect(segments(false)).toEqual(Array.from({ length: 20 }, (_, k) => [1000 + 1000 * k, 1000]));
    expect(segments(true)).toEqual(Array.from({ length: 8 }, (_, k) => [5000 + 1200 * k, k < 7 ? 1200 : 600]));
    expect(withTag).toHaveLength(29);
  });

  it.each([{ checksum: true }, { checksum: false }])(
    'reads good frames from a frame underlay: %o',
    async ({ checksum }) => {
      const { a } = makeHosts();
      const output = scratchFile('outer.pcapng');
      const config: ConfigInput = {
        underlays: [
          {
            name: 'wire',
            kind: 'frame',
            address: UNDERLAY_A,
            checksum,
            dscp: 10,
            ttl: 33,
            frame: {
              type: 'pcap',
              output,
              mac: '02:00:00:00:aa:01',
              neighbours: { [UNDERLAY_B]: '02:00:00:00:aa:02', '198.18.0.3': '02:00:00:00:aa:03' },
            },
          },
        ],
        networks: [
          {
            name: 'blue',
            vni: VNI,
            underlay: 'wire',
            peers: [UNDERLAY_B, '198.18.0.3'],
            staticMacs: [{ mac: '02:00:00:00:00:02', peer: UNDERLAY_B }],
            ports: [{ type: 'tap', name: TAP }],
          },
        ],
      };
      const node = await up(a.namespace, config);
      const tags: [number, number][] = [
        [0x88a8, 0x0064],
        [0x8100, 0x6007],
      ];
      const toPeer = { src: 1, dst: 2 };
      await sendFrames(a.namespace, TAP, [
        superframe(1400, { ...toPeer, payload: 61_000, seq: 1, tos: 0x02, flags: ACK }),
        superframe(1380, { ...toPeer, family: 6, payload: 30_001, seq: 9, flags: ACK }),
        superframe(999, { ...toPeer, tags, payload: 9_990, seq: 7, flags: ACK, sport: 7 }),
        ethernet({ src: 1, dst: 2 }, 0x88b5, Buffer.alloc(1450, 1)),
        udp({ src: 1, dst: 99, payload: 1001, tos: 0xb9 }),
        ...crowd(30),
      ]);
      // 44 + 22 + 10 segments, a frame that is not IP, an unknown unicast to both peers, 30 flows.
      const frames = 44 + 22 + 10 + 1 + 2 + 30;
      await until(`${frames} frames`, async () => (await node.stats()).account.sent >= frames).catch(() => {});
      await expectQuiet(node);
      const { account, ports } = await node.stats();
      expect([account.sent, account.dropped, account.copied]).toEqual([frames, 0, 1]);
      expect(ports[0].rxSuperframes).toBe(3);
      expect(await node.end()).toBe(0);

      const rows: OuterRow[] = await readFields(output, OUTER_FIELDS);
      expect(rows).toHaveLength(frames);
      expectGood(rows, { vni: VNI, checksum, dscp: 10, ttl: 33, udpPort: 4789, isSourcePort: (n) => n >= 49152 });
      for (const row of rows) {
        const peer = row['ip.dst'][0] === UNDERLAY_B ? '02' : '03';
        expect([row['eth.src'][0], row['eth.dst'][0]]).toEqual(['02:00:00:00:aa:01', `02:00:00:00:aa:${peer}`]);
        expect(row['eth.src'][1]).toBe(Buffer.from(stationMac(1)).toString('hex').replace(/..\B/g, '$&:'));
      }
      const payload = (port: string, v6: boolean) =>
        rows
          .filter((row) => row['tcp.srcport'][0] === port && row['ipv6.src'].length > 0 === v6)
          .map((row) => [Number(row['tcp.seq_raw'][0]), Number(row['tcp.len'][0])]);
      const cut = (first: number, bytes: number, size: number) =>
        Array.from({ length: Math.ceil(bytes / size) }, (_, k) => [first + k * size, Math.min(size, bytes - k * size)]);
      expect(payload('1000', false)).toEqual(cut(1, 61_000, 1400));
      expect(payload('1000', true)).toEqual(cut(9, 30_001, 1380));
      expect(payload('7', false)).toEqual(cut(7, 9_990, 999));
      const doubleTagged = rows.filter((row) => row['tcp.srcport'][0] === '7');
      expect(doubleTagged.map((row) => [...row['ieee8021ad.id'], ...row['vlan.id']])).toEqual(
        cut(7, 9_990, 999).map(() => ['100', '7']),
      );
    },
  );
});
