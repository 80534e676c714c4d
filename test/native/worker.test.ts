// Workers under their supervisor: each step of the walk throws once, threads are ended in the middle of traffic, plans change. After each
// the account balances, every slot is home and the node goes on.
import { readdirSync } from 'node:fs';
import { afterEach, expect, it } from 'vitest';
import { type Account, account, DROP_BASE } from '../../src/packet/counters.js';
import { DROP } from '../../src/packet/drop.js';
import type { Steps } from '../../src/pipeline/walk.js';
import { arpRequest, BROADCAST, noise, tcp, toHex, udp, vxlan } from '../rig/frames.js';
import { describeWith } from '../rig/requirements.js';
import { filePort, type Supervised, sizeOf, supervise, VNI } from '../rig/supervised.js';
import { sleep, until } from '../rig/waiting.js';
import { least } from './binding.js';

const open: Supervised[] = [];

async function node(options: Parameters<typeof supervise>[0] = {}): Promise<Supervised> {
  const made = await supervise(options);
  open.push(made);
  return made;
}

afterEach(async () => {
  for (const made of open.splice(0)) await made.end();
});

const descriptors = () => readdirSync('/proc/self/fd').length;
/** A thread that is ended while it warms up gives its descriptors back when it gets to it. */
const allClosed = (before: number) => until(`${before} descriptors, as before`, () => descriptors() <= before);
const state = (n: Supervised) => n.supervisor.workers()[0].state;
const accountOf = (n: Supervised): Account => account(n.supervisor.counters);
const lostPackets = (n: Supervised) => n.supervisor.counters[0][DROP_BASE + DROP['worker-lost']];

/** The account does not move any more; on a busy machine a packet may take its time. */
async function quiet(n: Supervised): Promise<Account> {
  let before = '';
  let still = 0;
  await until('the account stands still', async () => {
    await sleep(40);
    n.written();
    const now = JSON.stringify(accountOf(n));
    still = now === before ? still + 1 : 0;
    before = now;
    return still === (accountOf(n).held === 0 ? 2 : 20);
  });
  return accountOf(n);
}

const SYN = 2;

/** A frame for every step: local with an unfinished checksum, out of the tunnel, for a peer behind a frame underlay, routed, cross-connected, a SYN. */
async function stir(n: Supervised): Promise<void> {
  n.inject('db', arpRequest(3));
  await n.fromPeer(vxlan(VNI, udp({ src: 9, dst: BROADCAST, ipDst: 2, payload: 30, checksum: 'unfinished' })));
  const local = udp({ src: 1, dst: BROADCAST, ipDst: 2, payload: 30, checksum: 'unfinished' });
  n.inject('web', local, { flags: 1, csumStart: 34, csumOffset: 6 });
  // Without its Ethernet header, to an address that no route is for; and into a wire.
  n.inject('routed', udp({ src: 1, ipDst: 2, payload: 30 }).slice(14));
  n.inject('cross', udp({ src: 1, dst: 2, payload: 30 }));
  // In a datagram: a pipe joins what is written to it before it is read.
  await n.fromPeer(vxlan(VNI, tcp({ src: 9, dst: BROADCAST, ipDst: 2, flags: SYN })));
}

/** Frames get through all ways. */
async function works(n: Supervised): Promise<void> {
  const before = { file: sizeOf(n.localFile), wire: sizeOf(n.wireFile), received: n.received.length };
  await until('frames get through', async () => {
    await stir(n);
    await sleep(20);
    const isThrough =
      sizeOf(n.localFile) > before.file && sizeOf(n.wireFile) > before.wire && n.received.length > before.received;
    return isThrough && n.written() > 0;
  });
}

/** Whether a frame is lost when the step throws: each had been received, and but for the last step not sent to all its receivers. */
const STEPS: Record<keyof Steps, boolean> = {
  parse: true,
  parsePackets: true,
  checkOffloads: true,
  decap: true,
  arrive: true,
  prefetch: true,
  learn: true,
  lookup: true,
  suppress: true,
  route: true,
  connect: true,
  clampMss: true,
  answer: false,
  sendToPort: true,
  sendToSocket: true,
  sendToFrame: true,
  completeChecksum: true,
};

describeWith(['addon'], 'a worker that throws', () => {
  it.each(Object.entries(STEPS))('in %s is replaced; what it held is accounted for', async (step, loses) => {
    const n = await node({ faultyStep: step as keyof Steps });
    const lost: string[] = [];
    let replacedAfterMs = -1;
    n.supervisor.events.on('worker-lost', (e) => lost.push(e.message));
    n.supervisor.events.on('worker-replaced', (e) => {
      replacedAfterMs = e.afterMs;
    });
    await n.start();
    const firstThread = n.supervisor.workers()[0].threadId;
    await stir(n);
    await until('the worker is replaced', () => replacedAfterMs >= 0);
    expect(lost).toEqual([`fault injected into ${step}`]);
    expect(n.supervisor.workers()[0]).toMatchObject({ restarts: 1, state: 'running' });
    expect(n.supervisor.workers()[0].threadId).not.toBe(firstThread);
    expect(lostPackets(n) > 0).toBe(loses);
    expect((await quiet(n)).held).toBe(0);
    expect(n.supervisor.slots()[0].held).toBe(0);
    await works(n);
    expect((await quiet(n)).held).toBe(0);
    expect(n.supervisor.slots()[0].held).toBe(0);
  });
});

describeWith(['addon'], 'a worker that is ended', () => {
  it('twenty times and more, under load, leaves no descriptor, no slot and no packet', async () => {
    const frame = vxlan(VNI, udp({ src: 9, dst: BROADCAST, ipDst: 2, payload: 1000 }));
    const first = await supervise();
    await first.start();
    await first.end();
    const before = descriptors();
    // A worker that dies again and again is started more and more slowly: three deaths to a node.
    for (let k = 0; k < 7; k++) {
      const n = await supervise();
      let replaced = 0;
      n.supervisor.events.on('worker-replaced', () => replaced++);
      await n.start();
      for (let death = 1; death <= 3; death++) {
        await works(n);
        await stir(n);
        // The worker is in the middle of these.
        for (let d = 0; d < 100 + 50 * k; d++) void n.fromPeer(frame);
        await n.supervisor.terminate(0);
        await until('the replacement', () => replaced === death, { everyMs: 5 });
        expect((await quiet(n)).held, `node ${k}, death ${death}`).toBe(0);
        expect(n.supervisor.slots()[0].held).toBe(0);
      }
      await works(n);
      await n.end();
    }
    await allClosed(before);
  }, 90_000);

  it('while it sleeps is ended at once', async () => {
    const n = await node();
    await n.start();
    const isReplaced = () => until('the worker is replaced', () => state(n) === 'running');
    // A sleep lasts a second.
    const took = await least(500, async () => {
      await isReplaced();
      await until('the worker sleeps', () => n.supervisor.workers()[0].isSleeping);
      const from = performance.now();
      await n.supervisor.terminate(0);
      return performance.now() - from;
    });
    expect(took).toBeLessThan(500);
    await isReplaced();
    await works(n);
  });

  it('at every start is started again more and more slowly', async () => {
    const n = await node();
    await n.start();
    let deaths = 0;
    n.supervisor.events.on('worker-lost', () => deaths++);
    // From here on no worker can open its capture file.
    (n.plan.ports[1].pcap as { output: string }).output = '/no/such/folder/file.pcapng';
    await expect(n.supervisor.apply({ ...n.plan, generation: 2 }, n.devices)).rejects.toThrow(
      /refused the change.*no such file/,
    );
    const begun = performance.now();
    await n.supervisor.terminate(0);
    await until('it dies again and again', () => deaths > 2);
    await sleep(6000 - (performance.now() - begun));
    expect(deaths).toBeLessThan(9 + (performance.now() - begun - 6000) / 1000);
    expect(n.supervisor.workers()[0].lastError).toMatch(/no such file/);
    const from = performance.now();
    await n.supervisor.stop();
    expect(performance.now() - from).toBeLessThan(2500);
  });
});

describeWith(['addon'], 'stopping', () => {
  it('takes less than a second, asleep or under load', async () => {
    const stopMs = async (isLoaded: boolean) => {
      const n = await node();
      await n.start();
      const frame = vxlan(VNI, udp({ src: 9, dst: BROADCAST, ipDst: 2, payload: 500 }));
      let isSending = isLoaded;
      const load = (async () => {
        for (; isSending; await new Promise(setImmediate)) for (let k = 0; k < 20; k++) void n.fromPeer(frame);
      })();
      if (isLoaded) await until('traffic', () => accountOf(n).received > 100);
      const from = performance.now();
      await n.supervisor.stop();
      const took = performance.now() - from;
      isSending = false;
      await load;
      expect(accountOf(n).held).toBe(0);
      expect(n.supervisor.slots()[0].held).toBe(0);
      expect(state(n)).toBe('stopped');
      return took;
    };
    for (const isLoaded of [false, true]) expect(await least(1000, () => stopMs(isLoaded))).toBeLessThan(1000);
  });

  it('sends what has come already', async () => {
    const n = await node();
    await n.start();
    await works(n);
    await quiet(n);
    const before = accountOf(n).received;
    for (let k = 0; k < 50; k++) await n.fromPeer(vxlan(VNI, arpRequest(9)));
    await n.supervisor.stop();
    expect(accountOf(n).received).toBe(before + 50);
    expect(accountOf(n).held).toBe(0);
  });

  it('may be asked for twice, and leaves no descriptor', async () => {
    const made = await supervise();
    await made.end();
    const before = descriptors();
    for (let k = 0; k < 5; k++) {
      const n = await supervise();
      await n.start();
      await works(n);
      await n.supervisor.stop();
      await n.end();
    }
    await allClosed(before);
  });

  it('is the end of a start that failed, which names the reason', async () => {
    const n = await node();
    n.devices[0].ports.pop();
    await expect(n.start()).rejects.toThrow(/a worker did not start.*port cross has no open device/);
    expect(state(n)).toBe('stopped');
  });
});

describeWith(['addon'], 'a plan that changes', () => {
  it('is taken over between two turns', async () => {
    const n = await node();
    await n.start();
    await works(n);
    const more = n.localFile.replace('local', 'more');
    n.plan = { ...n.plan, generation: 2, ports: [...n.plan.ports, filePort(4, 'more', 1, more)] };
    await n.supervisor.apply(n.plan, n.devices);
    const empty = sizeOf(more);
    await works(n);
    expect(sizeOf(more)).toBeGreaterThan(empty);
    n.plan = { ...n.plan, generation: 3, ports: n.plan.ports.filter((p) => p.id !== 4) };
    await n.supervisor.apply(n.plan, n.devices);
    await quiet(n);
    const size = sizeOf(more);
    await works(n);
    expect(sizeOf(more)).toBe(size);
  });

  it('that a worker cannot take is refused with its reason, and the node goes on', async () => {
    const n = await node();
    await n.start();
    const bad = { ...n.plan, generation: 2, ports: [...n.plan.ports, filePort(4, 'bad', 1, '/no/such/folder/x')] };
    await expect(n.supervisor.apply(bad, n.devices)).rejects.toMatchObject({ code: 'WORKER', message: /port bad/ });
    await n.supervisor.apply({ ...n.plan, generation: 3 }, n.devices);
    await works(n);
  });

  it('is what the next worker starts with', async () => {
    const n = await node();
    await n.start();
    const more = n.localFile.replace('local', 'heir');
    n.plan = { ...n.plan, generation: 2, ports: [...n.plan.ports, filePort(4, 'heir', 1, more)] };
    await n.supervisor.apply(n.plan, n.devices);
    await n.supervisor.terminate(0);
    await until('the worker is replaced', () => state(n) === 'running');
    const size = sizeOf(more);
    await works(n);
    expect(sizeOf(more)).toBeGreaterThan(size);
  });
});

describeWith(['addon'], 'what a supervisor shows', () => {
  it('is MACs, static and learned, and forgets those it is asked to', async () => {
    const n = await node();
    n.plan.statics.push({ network: 1, mac: '02:00:00:00:00:77', port: 2, peer: 0 });
    await n.start();
    await works(n);
    const macs = () =>
      n.supervisor.macs().map(({ mac, network, port, peer, isStatic }) => ({ mac, network, port, peer, isStatic }));
    const learned = (last: string, net: number, port: number, peer: number) => ({
      mac: `02:00:00:00:00:${last}`,
      network: net,
      port,
      peer,
      isStatic: false,
    });
    const fixed = { ...learned('77', 1, 2, 0), isStatic: true };
    const all = [learned('01', 1, 1, 0), learned('03', 2, 3, 0), learned('09', 1, 0, 1), fixed];
    const byMac = (rows: { mac: string }[]) => [...rows].sort((a, b) => a.mac.localeCompare(b.mac));
    expect(byMac(macs())).toEqual(all);
    expect(n.supervisor.flushMacs({ peer: 1 })).toBe(1);
    expect(n.supervisor.flushMacs({ network: 1 })).toBe(1);
    expect(byMac(macs())).toEqual([all[1], fixed]);
  });

  it('is strangers, where a network accepts them: once a second, not once a packet', async () => {
    const n = await node();
    n.plan.networks[0].acceptUnknownPeers = true;
    const told: { underlay: number; network: number; address: string }[] = [];
    n.supervisor.events.on('unknown-peer', (e) => {
      const bytes = new Uint8Array(e.address.buffer, e.address.byteOffset, 16);
      told.push({ underlay: e.underlay, network: e.network, address: toHex(bytes) });
    });
    await n.start();
    const begun = performance.now();
    for (let k = 0; k < 50; k++) await n.fromPeer(vxlan(VNI, arpRequest(20)), '127.0.0.99');
    await until('the stranger is told of', () => told.length > 0);
    await quiet(n);
    expect(told.length).toBeLessThan(5 + (performance.now() - begun) / 1000);
    expect(new Set(told.map((t) => JSON.stringify(t)))).toEqual(
      new Set([JSON.stringify({ underlay: 1, network: 1, address: '00000000000000000000ffff7f000063' })]),
    );
    expect(accountOf(n)).toMatchObject({ received: 50, dropped: 0 });
  });

  it('is a capture of one port, across a worker that died', async () => {
    const n = await node();
    await n.start();
    const seen: string[] = [];
    const frame = udp({ src: 1, dst: BROADCAST, ipDst: 2, payload: noise(33) });
    // A pipe joins what is written to it before it is read: each frame more is its 75 bytes and 12 of virtio-net header.
    const AGAIN = 75 + 12;
    const capture = n.supervisor.capture(1, 60, (r) => {
      if (r.direction === 'in') seen.push(`${r.originalLength % AGAIN} ${toHex(r.bytes)}`);
    });
    expect(() => n.supervisor.capture(2, 60, () => {})).toThrow(/another capture is running/);
    await capture.started;
    const wanted = `75 ${toHex(frame.slice(0, 60))}`;
    n.inject('web', frame);
    await until('the frame is captured', () => seen.length === 1);
    await n.supervisor.terminate(0);
    await until('the worker is replaced', () => state(n) === 'running');
    await until('the next frame is captured', async () => {
      n.inject('web', frame);
      await sleep(30);
      return seen.length > 1;
    });
    expect(new Set(seen)).toEqual(new Set([wanted]));
    expect(capture.missed()).toBe(0);
    capture.stop();
    const size = seen.length;
    await works(n);
    expect(seen.length).toBe(size);
    n.supervisor.capture(1, 60, () => {}).stop();
  });
});

describeWith(['addon'], 'two workers', () => {
  it('share a node: one dies, the other goes on', async () => {
    const n = await node({ workers: 2 });
    n.plan.workers = 2;
    // The second worker reads nothing here; it may write everywhere.
    const [first] = n.devices;
    const ports = first.ports.map((p) => ({ ...p, rxFd: -1 }));
    n.devices.push({ ports, underlays: first.underlays });
    n.plan.ports[1] = filePort(2, 'file', 1, null);
    n.plan.underlays.pop();
    n.plan.networks[1].underlays = [];
    n.plan.peers.pop();
    await n.start();
    await n.supervisor.terminate(1);
    n.inject('web', arpRequest(1));
    await until('the peer has the frame', () => n.received.length > 0);
    await until('the worker is replaced', () => n.supervisor.workers().every((w) => w.state === 'running'));
    expect(n.supervisor.workers().map((w) => w.restarts)).toEqual([0, 1]);
    expect((await quiet(n)).held).toBe(0);
    expect(n.supervisor.slots().map((s) => s.held)).toEqual([0, 0]);
  });

  it('are what a plan makes of one, and one of two', async () => {
    const n = await node({ workers: 1, workersMax: 2 });
    n.plan.ports[1] = filePort(2, 'file', 1, null);
    n.plan.underlays.pop();
    n.plan.networks[1].underlays = [];
    n.plan.peers.pop();
    await n.start();
    const heard = async () => {
      const before = n.received.length;
      n.inject('web', arpRequest(1));
      await until('the peer has the frame', () => n.received.length > before);
    };
    await heard();
    const [all] = n.devices;
    const nothingRead = all.ports.map((p) => ({ ...p, rxFd: -1 }));
    // Now the new one reads the ports.
    const two = [
      { ports: nothingRead, underlays: all.underlays },
      { ports: all.ports, underlays: all.underlays },
    ];
    await n.supervisor.apply({ ...n.plan, generation: 2, workers: 2 }, two);
    expect(n.supervisor.workers().map((w) => w.state)).toEqual(['running', 'running']);
    await heard();
    await n.supervisor.apply({ ...n.plan, generation: 3, workers: 1 }, [all]);
    expect(n.supervisor.workers().length).toBe(1);
    await heard();
    const { received, held } = await quiet(n);
    expect([received, held]).toEqual([3, 0]);
  });
});
