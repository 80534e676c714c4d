// TCP superframes: read from a real sender, written to a real receiver, with the virtio-net header as the kernel made it.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6, type Tun, tun } from '../../src/native/tun.js';
import { makeNamespace, namespacePath, removeNamespaces, runIn } from '../rig/namespaces.js';
import { describeWith } from '../rig/requirements.js';
import { type Binding, BURST, LAYOUT, makeBinding } from './binding.js';

const BYTES = 24 << 20;

// Both ends print how many bytes there were and their SHA-1.
const RECEIVER = `
import hashlib, socket, sys
v6 = ':' in sys.argv[1]
s = socket.create_server((sys.argv[1], 5000), family=socket.AF_INET6 if v6 else socket.AF_INET); print('listening', flush=True)
c, _ = s.accept(); h = hashlib.sha1(); n = 0
while d := c.recv(1 << 16): h.update(d); n += len(d)
print(n, h.hexdigest(), flush=True)`;
const SENDER = `
import hashlib, socket, random, sys
d = random.Random(7).randbytes(${BYTES})
c = socket.create_connection((sys.argv[1], 5000)); c.sendall(d); c.close()
print(len(d), hashlib.sha1(d).hexdigest(), flush=True)`;

/** virtio_net_hdr_v1.gso_type */
const [TCPV4, TCPV6] = [1, 4];
/** MSS of 1460 or 1440 less 12 bytes of timestamps; where TCP begins. */
const PATHS = [
  { kind: 'tap', addresses: ['10.9.0.1/24', '10.9.0.2/24'], gsoType: TCPV4, gsoSize: 1448, tcpAt: 14 + 20, link: 14 },
  { kind: 'tun', addresses: ['10.9.0.1/24', '10.9.0.2/24'], gsoType: TCPV4, gsoSize: 1448, tcpAt: 20, link: 0 },
  { kind: 'tun', addresses: ['fd00:9::1/64', 'fd00:9::2/64'], gsoType: TCPV6, gsoSize: 1428, tcpAt: 40, link: 0 },
] as const;

/** One TAP or TUN and its half of the path: frames read here are written to the other. */
type End = { binding: Binding; rx: (max: number, limit: number) => number; fd: number };

describeWith(['root', 'tun', 'addon', 'ip'], 'TCP superframes', () => {
  let addon: Tun;
  const names: string[] = [];
  const open: number[] = [];
  const children: ChildProcess[] = [];

  beforeAll(() => {
    addon = tun();
    names.push(makeNamespace('supA'), makeNamespace('supB'));
  });
  afterAll(async () => {
    for (const child of children) child.kill('SIGKILL');
    for (const fd of open) addon.close(fd);
    await removeNamespaces();
  });

  function openEnd(name: string, kind: 'tap' | 'tun', address: string): End {
    const netns = namespacePath(name);
    const offloads = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
    const tap = addon.openTap({ netns, name: 'sup', kind, create: true, queues: 1, vnetHdr: true, offloads });
    open.push(...tap.fds);
    expect(tap).toMatchObject({ vnetHdrLen: 12, offloads });
    addon.linkSet({ netns, name: 'sup', up: true, gsoMaxSize: 60_000 });
    addon.addressAdd({ netns, name: 'sup', address, noDad: true });
    const binding = makeBinding();
    return { binding, rx: addon.bindTapRx(binding.arena, binding.io, LAYOUT, tap.fds[0], 0, 12), fd: tap.fds[0] };
  }

  async function run(
    name: string,
    script: string,
    address: string,
  ): Promise<{ child: ChildProcess; said: () => string[] }> {
    const child = spawn('ip', ['netns', 'exec', name, 'python3', '-c', script, address], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    children.push(child);
    let text = '';
    child.stdout.on('data', (data) => {
      text += data;
    });
    return { child, said: () => text.trim().split('\n') };
  }

  afterEach(() => {
    for (const fd of open.splice(0)) addon.close(fd);
  });

  it.each(PATHS)('cross from one stack to another whole: $kind, $addresses', async (path) => {
    const [a, b] = path.addresses.map((address, side) => openEnd(names[side], path.kind, address));
    const [to] = path.addresses[1].split('/');
    const seen = { superframes: 0, longest: 0, unexpected: 0, gsoSizes: new Set<number>() };
    const crossing = (from: End, to: End) => {
      // The receiver's binding is over the same arena as the sender's: no byte is copied between the two devices.
      const { arena, io, columns } = from.binding;
      const tx = addon.bindTapTx(arena, io, LAYOUT, to.fd);
      const headers = new DataView(arena.buffer);
      return () => {
        const n = from.rx(BURST, 1 << 19);
        for (let lane = 0; lane < n; lane++) {
          const gsoType = headers.getUint8(16 * lane + 1);
          const gsoSize = headers.getUint16(16 * lane + 4, true);
          const len = columns.rxLen[lane];
          if (gsoType !== 0) {
            seen.superframes++;
            seen.gsoSizes.add(gsoSize);
            // NEEDS_CSUM with the checksum of TCP.
            const csum = [
              headers.getUint8(16 * lane),
              headers.getUint16(16 * lane + 6, true),
              headers.getUint16(16 * lane + 8, true),
            ];
            if (gsoType !== path.gsoType || csum.join() !== `1,${path.tcpAt},16`) seen.unexpected++;
          } else if (len > 1500 + path.link) seen.unexpected++;
          seen.longest = Math.max(seen.longest, len);
          from.binding.describe(lane, [
            { at: 16 * lane, len: 12 },
            { at: columns.rxAt[lane], len },
          ]);
        }
        if (n > 0) expect(tx(0, n)).toBe(n);
        return n;
      };
    };
    const steps = [crossing(a, b), crossing(b, a)];
    const receiver = await run(names[1], RECEIVER, to);
    await once(receiver.child.stdout!, 'data');
    const sender = await run(names[0], SENDER, to);
    const done = once(receiver.child, 'close');
    let over = false;
    done.then(() => {
      over = true;
    });
    while (!over) {
      while (steps[0]() + steps[1]() > 0);
      await new Promise((resolve) => setImmediate(resolve));
    }
    if (sender.child.exitCode === null) await once(sender.child, 'close');
    expect(receiver.said()).toEqual(['listening', ...sender.said()]);
    expect(sender.said()[0]).toMatch(new RegExp(`^${BYTES} [0-9a-f]{40}$`));
    expect(seen.unexpected).toBe(0);
    expect(seen.superframes).toBeGreaterThan(BYTES / 60_000 / 2);
    // The device's limit holds.
    expect([...seen.gsoSizes]).toEqual([path.gsoSize]);
    expect(seen.longest).toBeGreaterThan(20_000);
    expect(seen.longest).toBeLessThanOrEqual(60_000 + path.link);
  });

  it('limits that were set are those of the device', () => {
    openEnd(names[0], 'tap', '10.9.0.1/24');
    const [shown] = JSON.parse(runIn(names[0], 'ip', '-d', '-j', 'link', 'show', 'sup'));
    expect(shown).toMatchObject({ gso_max_size: 60_000, gro_max_size: 60_000 });
    expect(addon.linkGet({ netns: namespacePath(names[0]), name: 'sup' })?.gsoMaxSize).toBe(60_000);
  });
});
