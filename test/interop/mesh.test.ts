// Three nodes in a full mesh, two tenants with the same MACs and addresses, each station in a namespace of its own.
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { DropsDocument, MacDocument, PeerDocument } from '../../src/observe/documents.js';
import { readFrames } from '../rig/captureFiles.js';
import { arpRequest, BROADCAST, ethernet } from '../rig/frames.js';
import { makeQuietNamespace } from '../rig/hosts.js';
import {
  DEVICE,
  HOSTS,
  type Mesh,
  macText,
  overlayAddress,
  STATIC,
  startMesh,
  TENANTS,
  underlayAddress,
} from '../rig/mesh.js';
import { removeNamespaces, runIn } from '../rig/namespaces.js';
import { expectQuiet } from '../rig/node.js';
import { describeWith } from '../rig/requirements.js';
import { ping, sendFrames, sendTcp } from '../rig/traffic.js';
import { record } from '../rig/tshark.js';
import { until } from '../rig/waiting.js';

/** Type of frames that only the tests send (IEEE 802, local experiments). */
const EXPERIMENT = 0x88b5;
const IPV4 = 0x0800;

const frame = (source: number, destination: number | Uint8Array, mark = 0) =>
  ethernet({ src: source, dst: destination }, EXPERIMENT, new Uint8Array(50).fill(mark));

describeWith(['root', 'tun', 'addon', 'ip', 'ping', 'tcpdump', 'python3', 'bridge'], 'three nodes', () => {
  let mesh: Mesh;
  beforeAll(async () => {
    mesh = await startMesh();
  });
  afterAll(async () => {
    for (const running of mesh?.nodes ?? []) await running.end();
    await removeNamespaces();
  });

  const pairs = HOSTS.flatMap((from) => HOSTS.filter((to) => to !== from).map((to) => [from, to] as const));

  it.each(TENANTS)('of tenant $name all reach all others', async ({ name }) => {
    const answers = await Promise.all(pairs.map(([from, to]) => ping(mesh.station(name, from), overlayAddress(to))));
    expect(answers).toEqual(pairs.map(() => 3));
    for (const running of mesh.nodes) {
      const macs = (await running.macs()).filter((entry) => entry.network === name && !entry.static);
      expect(macs.map(({ mac }) => mac)).toEqual(HOSTS.map(macText));
    }
    await expectQuiet(...mesh.nodes);
  });

  it('show each other as heard', async () => {
    for (const n of HOSTS) {
      const peers = await mesh.node(n).read<PeerDocument[]>('peers');
      expect(peers).toHaveLength(4);
      for (const peer of peers) expect(peer).toMatchObject({ failedSends: 0, lastError: null, dropped: 0 });
      for (const { lastHeardSec } of peers) expect(lastHeardSec).toBeLessThan(30);
    }
  });

  it.each(pairs)('carry a stream from %i to %i whole', async (from, to) => {
    const { sent, received } = await sendTcp(
      mesh.station('blue', from),
      mesh.station('blue', to),
      overlayAddress(to),
      10_000_000,
    );
    expect(received).toEqual(sent);
  });

  it('bring a broadcast to every other station exactly once, and to no other tenant', async () => {
    const blue = await mesh.listen('blue', 0x0806);
    const red = await mesh.listen('red', 0x0806);
    // A node that has a frame from a peer sends it to no other peer.
    const hears = { direction: 'out' as const, filter: 'udp dst port 4789' };
    const others = await Promise.all([2, 3].map((n) => record(mesh.node(n).namespace, 'underlay', hears)));
    const requests = Array.from({ length: 50 }, (_, i) => Buffer.from(arpRequest(1, 100 + i)));
    await sendFrames(mesh.station('blue', 1), DEVICE, requests);
    const all = requests.length;
    // Kernels ask now and then whether a neighbour is still there: only what was sent here counts.
    const sent = requests.map((bytes) => bytes.toString('hex')).sort();
    const ours = (frames: Buffer[]) =>
      frames.flatMap((bytes) => sent.find((request) => bytes.toString('hex').endsWith(request)) ?? []).sort();
    expect((await blue.stop([0, all, all])).map(ours)).toEqual([[], sent, sent]);
    expect((await red.stop()).map(ours)).toEqual([[], [], []]);
    for (const recording of others) expect(ours(readFrames(await recording.stop()))).toEqual([]);
  });

  it('find a station that moved after one frame', async () => {
    const WANDERER = 77;
    const expectCall = async (heardBy: number[]) => {
      const heard = await mesh.listen('blue', EXPERIMENT);
      await sendFrames(mesh.station('blue', 3), DEVICE, [frame(3, WANDERER)]);
      expect((await heard.stop(heardBy)).map((frames) => frames.length)).toEqual(heardBy);
    };
    const isFoundAt = (n: number, where: string) =>
      until(`node ${n} finds it at ${where}`, async () => (await mesh.whereIs(n, 'blue', WANDERER)) === where);
    await sendFrames(mesh.station('blue', 1), DEVICE, [frame(WANDERER, BROADCAST)]);
    await isFoundAt(3, underlayAddress(1));
    await isFoundAt(2, underlayAddress(1));
    await isFoundAt(1, 'blue');
    await expectCall([1, 0, 0]);

    await sendFrames(mesh.station('blue', 2), DEVICE, [frame(WANDERER, BROADCAST)]);
    await isFoundAt(3, underlayAddress(2));
    await isFoundAt(1, underlayAddress(2));
    await isFoundAt(2, 'blue');
    await expectCall([0, 1, 0]);
    expect(await mesh.whereIs(3, 'red', WANDERER)).toBeUndefined();
    const { networks } = await mesh.node(3).stats();
    expect(networks.find(({ name }) => name === 'blue')?.macMoves).toBe(1);
  });

  it('keep tenants with equal MACs and addresses apart', async () => {
    // What red's own kernels say meanwhile is ARP: they look whether a neighbour is still there, seconds after they spoke to it.
    const red = await mesh.listen('red', IPV4);
    const blue = await mesh.listen('blue', IPV4);
    expect(await ping(mesh.station('blue', 1), overlayAddress(2), { count: 10 })).toBe(10);
    const [one, two, three] = (await blue.stop([10, 10, 0])).map((frames) => frames.length);
    // ping asks again where an answer takes its time.
    expect(Math.min(one, two)).toBeGreaterThanOrEqual(10);
    expect(three).toBe(0);
    expect(await red.stop()).toEqual([[], [], []]);
    // One tenant's station is off; the other's, with the same MAC and address, answers.
    runIn(mesh.station('red', 2), 'ip', 'link', 'set', DEVICE, 'down');
    const answers = [
      await ping(mesh.station('red', 1), overlayAddress(2), { withinSec: 1 }),
      await ping(mesh.station('blue', 1), overlayAddress(2)),
    ];
    runIn(mesh.station('red', 2), 'ip', 'link', 'set', DEVICE, 'up');
    expect(answers).toEqual([0, 3]);
    await until('red 2 answers again', async () => (await ping(mesh.station('red', 1), overlayAddress(2))) === 3);
  });

  it('believe a static MAC more than its sender', async () => {
    const entry = (await mesh.node(1).read<MacDocument[]>('mac')).find(({ mac }) => mac === macText(STATIC));
    const fixed = { network: 'blue', port: null, peer: underlayAddress(2), static: true, expiresInSec: null };
    expect(entry).toMatchObject(fixed);
    // Not flooded, though nobody has heard of it.
    const heard = await mesh.listen('blue', EXPERIMENT);
    await sendFrames(mesh.station('blue', 1), DEVICE, [frame(1, STATIC)]);
    expect((await heard.stop([0, 1, 0])).map((frames) => frames.length)).toEqual([0, 1, 0]);

    const again = await mesh.listen('blue', EXPERIMENT);
    await sendFrames(mesh.station('blue', 3), DEVICE, [frame(STATIC, BROADCAST)]);
    expect((await again.stop([0, 1, 0])).map((frames) => frames.length)).toEqual([0, 1, 0]);
    const third = async () => {
      const { peers } = await mesh.node(1).stats();
      return peers.find(({ network, address }) => network === 'blue' && address === underlayAddress(3))?.drops ?? {};
    };
    await until('node 1 drops it', async () => (await third())['static-mac'] !== undefined);
    expect(await third()).toEqual({ 'static-mac': 1 });
    expect((await mesh.node(1).macs()).find(({ mac }) => mac === macText(STATIC))).toMatchObject(fixed);
  });

  it('forget a silent station, and flood what is for it', async () => {
    const SILENT = 88;
    const toIt = frame(1, SILENT);
    const counts = (heard: Buffer[][]) => heard.map((frames) => frames.filter((bytes) => bytes.equals(toIt)).length);
    // Everything that takes its time is done before it speaks: it is known for a few seconds only.
    const known = await mesh.listen('red', EXPERIMENT);
    await sendFrames(mesh.station('red', 2), DEVICE, [frame(SILENT, BROADCAST)]);
    await until('node 1 finds it', async () =>
      (await mesh.node(1).macs()).some(({ network, mac }) => network === 'red' && mac === macText(SILENT)),
    );
    await sendFrames(mesh.station('red', 1), DEVICE, [toIt]);
    // The others have heard its broadcast, too.
    expect(counts(await known.stop([1, 1, 1]))).toEqual([0, 1, 0]);
    for (const n of HOSTS)
      await until(`node ${n} forgets it`, async () => (await mesh.whereIs(n, 'red', SILENT)) === undefined);
    const forgotten = await mesh.listen('red', EXPERIMENT);
    await sendFrames(mesh.station('red', 1), DEVICE, [toIt]);
    expect(counts(await forgotten.stop([0, 1, 1]))).toEqual([0, 1, 1]);
    // The other tenant's entries live longer.
    expect(await mesh.whereIs(1, 'blue', 2)).toBe(underlayAddress(2));
  });

  it('take and lose peers while they run', async () => {
    const [from, to] = [mesh.station('blue', 1), overlayAddress(2)];
    expect(await mesh.node(1).weft('peer', 'remove', 'blue', underlayAddress(2))).toMatchObject({
      status: 0,
      stderr: '',
    });
    expect(await ping(from, to, { withinSec: 1 })).toBe(0);
    expect(await ping(mesh.station('blue', 2), overlayAddress(1), { withinSec: 1 })).toBe(0);
    expect(await mesh.whereIs(1, 'blue', 2)).toBeUndefined();
    const peers = (await mesh.node(1).read<PeerDocument[]>('peers')).filter(({ network }) => network === 'blue');
    expect(peers.map(({ address }) => address)).toEqual([underlayAddress(3)]);
    expect(await ping(mesh.station('red', 1), to)).toBe(3);

    expect(await mesh.node(1).weft('peer', 'add', 'blue', underlayAddress(2))).toMatchObject({ status: 0, stderr: '' });
    expect(await ping(from, to)).toBe(3);
    await expectQuiet(...mesh.nodes);
  });

  it('take and lose ports while they run', async () => {
    const guest = makeQuietNamespace('guest');
    const where = ['--device', DEVICE, '--netns', guest, '--mac', macText(9), '--address', `${overlayAddress(9)}/24`];
    expect(await mesh.node(3).weft('port', 'add', 'blue', 'guest', ...where)).toMatchObject({ status: 0, stderr: '' });
    expect(await ping(guest, overlayAddress(1))).toBe(3);
    expect(await ping(guest, overlayAddress(3))).toBe(3);
    const { sent, received } = await sendTcp(mesh.station('blue', 2), guest, overlayAddress(9), 10_000_000);
    expect(received).toEqual(sent);
    expect(await mesh.whereIs(1, 'blue', 9)).toBe(underlayAddress(3));

    expect(await mesh.node(3).weft('port', 'remove', 'guest')).toMatchObject({ status: 0, stderr: '' });
    expect(runIn(guest, 'ip', '-o', 'link')).not.toContain(DEVICE);
    expect(await mesh.whereIs(3, 'blue', 9)).toBeUndefined();
    expect(await ping(mesh.station('blue', 3), overlayAddress(1))).toBe(3);
    await expectQuiet(...mesh.nodes);
  });

  it('have dropped nothing but what was to be dropped', async () => {
    await expectQuiet(...mesh.nodes);
    const drops = await Promise.all(mesh.nodes.map((running) => running.read<DropsDocument>('drops')));
    // Unknown unicast reaches nodes that know it behind another peer; they keep it from circling.
    const expected = 'split-horizon';
    const reasons = drops.map(({ reasons: all }) =>
      all.map(({ reason }) => reason).filter((reason) => reason !== expected),
    );
    for (const list of reasons) list.sort();
    // A static MAC used elsewhere and a peer that was removed; a station that was off; nothing.
    expect(reasons).toEqual([['static-mac', 'unknown-peer'], ['device-gone'], []]);
    expect(drops[1].reasons.find(({ reason }) => reason === 'device-gone')?.where).toMatchObject([
      { kind: 'port', name: 'red' },
    ]);
    expect(drops[0].reasons.find(({ reason }) => reason === 'unknown-peer')?.where).toMatchObject([
      { kind: 'underlay' },
    ]);
  });
});
