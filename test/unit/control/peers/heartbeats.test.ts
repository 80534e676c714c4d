// Two nodes with nothing but memory between them: heartbeats that one sends are what the other hears, with the delay and the losses of the path.
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { checkValue } from '../../../../src/control/config/check.js';
import type { Config, ConfigInput } from '../../../../src/control/config/config.js';
import type { Destination } from '../../../../src/control/peers/heartbeatSender.js';
import { createHeartbeats, type Heartbeats } from '../../../../src/control/peers/heartbeats.js';
import { createPathMtus } from '../../../../src/control/peers/pathMtus.js';
import { type HostFacts, makePlan } from '../../../../src/control/plan/plan.js';
import type { HeardHeartbeat } from '../../../../src/pipeline/heartbeats.js';
import type { Plan } from '../../../../src/pipeline/plan.js';
import * as Address from '../../../../src/wire/address.js';

const A = '192.0.2.1';
const B = '192.0.2.2';
const KEY = { intervalMs: 200, timeoutMs: 1000, key: 'shared' };
const RX = 10;
const TX = 20;

type Network = ConfigInput['networks'][number];

interface Packet {
  from: Destination;
  to: Destination;
  outerBytes: number;
  heard: Pick<HeardHeartbeat, 'message' | 'length'>;
}

/** What is between the nodes. */
interface World {
  nodes: Map<string, Side>;
  delayMs: number;
  /** Whether a packet gets lost. */
  loses(packet: Packet): boolean;
  /** Where a node's packets seem to come from: the NAT in front of it. */
  nat: Map<string, Destination>;
  log: Packet[];
}

interface Side {
  heartbeats: Heartbeats;
  events: string[];
  plan: Plan;
  paths: ReturnType<typeof createPathMtus>;
  config: Config;
  inbox: HeardHeartbeat[];
  document(): ReturnType<Heartbeats['documents']> extends ReadonlyMap<number, infer D> ? D : never;
}

let world: World;
let now: number;

function configOf(own: string, peer: string, network: Partial<Network>): Config {
  const blue = { name: 'blue', vni: 42, underlay: 'lan', heartbeat: KEY, peers: [peer], ...network };
  const checked = checkValue({ node: { name: own }, underlays: [{ name: 'lan', address: own }], networks: [blue] });
  if (!checked.config) throw new Error(JSON.stringify(checked.problems));
  return checked.config;
}

const facts: HostFacts = {
  hostname: 'x',
  underlayMtu: new Map([['lan', 1500]]),
  underlayPrefixes: new Map(),
  users: new Map(),
  groups: new Map(),
} as unknown as HostFacts;

/** Address and port of the world's side for a packet to `to`: through a NAT only where something was sent from. */
function arrive(packet: Packet): void {
  const seen = (own: string) => world.nat.get(own) ?? { address: own, udpPort: 4789 };
  for (const [own, side] of world.nodes) {
    const { address, udpPort } = seen(own);
    if (packet.to.address !== address || packet.to.udpPort !== udpPort) continue;
    const { plan, inbox } = side;
    const network = plan.networks[0];
    const peer = plan.peers.find((p) => (p.at ?? p).address === packet.from.address);
    if (peer === undefined && !network.roams) continue;
    const address16 = Address.toMapped(Address.fromText(packet.from.address)!);
    inbox.push({
      network: network.id,
      peer: peer?.id ?? 0,
      carrier: network.underlays[0],
      port: packet.from.udpPort,
      address: address16,
      seconds: now / 1000,
      ...packet.heard,
    });
  }
}

function start(own: string, peer: string, network: Partial<Network> = {}): Side {
  const config = configOf(own, peer, network);
  let planned = makePlan(config, facts);
  const say = (text: string) => side.events.push(text);
  const side = { events: [], config, inbox: [], plan: planned.plan } as unknown as Side;
  const paths = createPathMtus({ now: () => now / 1000, changed() {} });
  const around = {
    plan: () => planned.plan,
    sockets: () => ({ underlay: 1, rxFds: [RX], txFds: [TX], protocols: [], gro: true, segment: true }),
    drain: (onHeartbeat: (heard: HeardHeartbeat) => void) => side.inbox.splice(0).forEach(onHeartbeat),
    sender: () => ({
      send(
        fd: number,
        to: Destination,
        _: unknown,
        outerBytes: number,
        fill: (b: Uint8Array, at: number, n: number) => void,
      ) {
        const length = outerBytes > 0 ? outerBytes - 50 : 72;
        const message = new Uint8Array(72);
        fill(message, 0, length);
        const nat = world.nat.get(own) ?? { address: own, udpPort: 4789 };
        const from = fd === RX ? nat : { ...nat, udpPort: nat.udpPort + 1 };
        const packet = { from, to, outerBytes: Math.max(outerBytes, 122), heard: { message, length } };
        world.log.push(packet);
        if (!world.loses(packet)) setTimeout(() => arrive(packet), world.delayMs);
        return 0;
      },
    }),
    paths,
    async relocate() {
      planned = makePlan(config, { ...facts, moved: side.heartbeats.moved() }, planned);
      side.plan = planned.plan;
      side.heartbeats.configure(config);
    },
    up: () => say('up'),
    down: () => say('down'),
    movedTo: (_: unknown, to: Destination) => say(`at ${to.address}:${to.udpPort}`),
    warn: say,
    now: () => now / 1000,
  };
  side.paths = paths;
  side.document = () => side.heartbeats.documents().get(side.plan.peers[0].id)!;
  side.heartbeats = createHeartbeats(config, around);
  world.nodes.set(own, side);
  return side;
}

/** Time goes on in small steps. */
async function pass(ms: number, stepMs = 5): Promise<void> {
  for (let end = now + ms; now < end; ) {
    now += stepMs;
    await vi.advanceTimersByTimeAsync(stepMs);
  }
}

function end(own: string): void {
  world.nodes.get(own)!.heartbeats.stop();
  world.nodes.get(own)!.paths.stop();
  world.nodes.delete(own);
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] });
  now = 1_000_000;
  world = { nodes: new Map(), delayMs: 5, loses: () => false, nat: new Map(), log: [] };
});

afterEach(() => {
  for (const own of [...world.nodes.keys()]) end(own);
  vi.useRealTimers();
});

describe('two nodes', () => {
  it('see each other up, with the time of the way and not of the wait', async () => {
    const [a, b] = [start(A, B), start(B, A)];
    await pass(2000);
    for (const side of [a, b]) {
      expect(side.events).toEqual(['up']);
      expect(side.document()).toMatchObject({ state: 'up', lost: 0, loss: 0, refused: 0, at: null, blackHole: null });
      expect(side.document().rttUs).toBe(10_000);
    }
    // Peer 1 of sixteen turns: from 12.5 ms on, every 200.
    expect(a.document().sent).toBe(10);
  });

  it('see each other down after the timeout, and up again', async () => {
    const a = start(A, B);
    start(B, A);
    await pass(3000);
    end(B);
    await pass(700);
    expect(a.document().state).toBe('up');
    await pass(500);
    expect([a.document().state, a.events]).toEqual(['down', ['up', 'down']]);
    start(B, A);
    await pass(500);
    expect(a.events).toEqual(['up', 'down', 'up']);
  });

  it('with other keys are down for each other, and say why', async () => {
    const a = start(A, B, { heartbeat: { ...KEY, key: 'another' } });
    const b = start(B, A);
    await pass(3000);
    for (const side of [a, b]) {
      expect(side.events).toEqual(['down']);
      expect(side.document().refused).toBeGreaterThan(5);
    }
  });

  it('with other networks behind one key are strangers', async () => {
    const a = start(A, B, { vni: 43 });
    start(B, A);
    await pass(2000);
    expect(a.document()).toMatchObject({ state: 'down', answeredSec: null });
  });

  it('take their own heartbeats for nothing', async () => {
    const a = start(A, B);
    world.log = [];
    await pass(100);
    for (const packet of [...world.log])
      arrive({ ...packet, from: { address: B, udpPort: 4789 }, to: { address: A, udpPort: 4789 } });
    await pass(2000);
    expect(a.document().state).toBe('down');
  });

  it('answer no more than a flood deserves', async () => {
    const [a, b] = [start(A, B), start(B, A)];
    await pass(1000);
    const ping = world.log.find((packet) => packet.to.address === B)!;
    world.log = [];
    for (let n = 0; n < 200; n++) arrive(ping);
    await pass(200);
    expect(world.log.filter((packet) => packet.from.address === B).length).toBeLessThan(60);
    expect([a.document().state, b.document().state]).toEqual(['up', 'up']);
  });
});

it('whatever comes in, nothing happens but what should', async () => {
  const a = start(A, B, { peers: [{ address: B, roams: true }] });
  start(B, A);
  await pass(1000);
  const real = world.log.filter(({ from }) => from.address === B).map(({ heard }) => heard.message);
  const random = fc.sample(fc.uint8Array({ minLength: 72, maxLength: 72 }), 200);
  const changed = fc
    .sample(fc.tuple(fc.constantFrom(...real), fc.nat(71), fc.integer({ min: 1, max: 255 })), 500)
    .map(([message, at, bits]) => message.map((byte, k) => (k === at ? byte ^ bits : byte)));
  for (const message of [...random, ...changed])
    for (const from of [B, '203.0.113.9'])
      arrive({
        from: { address: from, udpPort: 4789 },
        to: { address: A, udpPort: 4789 },
        outerBytes: 122,
        heard: { message, length: 72 },
      });
  world.log = [];
  await pass(1000);
  expect(a.events).toEqual(['up']);
  expect(a.document()).toMatchObject({ state: 'up', at: null, lost: 0 });
  expect(world.log.filter(({ to }) => to.address === '203.0.113.9')).toEqual([]);
});

it('another key is taken over at once', async () => {
  const [a, b] = [start(A, B), start(B, A)];
  await pass(1000);
  a.heartbeats.configure(configOf(A, B, { heartbeat: { ...KEY, key: 'new' } }));
  await pass(1500);
  expect([a.document().state, b.document().state]).toEqual(['down', 'down']);
  expect(b.document().refused).toBeGreaterThan(3);
  b.heartbeats.configure(configOf(B, A, { heartbeat: { ...KEY, key: 'new' } }));
  await pass(500);
  expect([a.document().state, b.document().state]).toEqual(['up', 'up']);
  expect([a.document().refused, b.document().refused]).toEqual([0, 0]);
  a.heartbeats.configure(configOf(A, B, { heartbeat: undefined }));
  await pass(2000);
  expect([a.document(), b.document().state]).toEqual([undefined, 'down']);
});

describe('a peer that roams', () => {
  const nat = { address: '203.0.113.5', udpPort: 31000 };
  const roams = { peers: [{ address: B, roams: true }] };

  it('is found behind its NAT, and both see each other', async () => {
    world.nat.set(B, nat);
    const a = start(A, B, roams);
    const b = start(B, A);
    await pass(1500);
    expect(a.document()).toMatchObject({ state: 'up', at: nat });
    expect(a.plan.peers[0]).toMatchObject({ address: B, at: nat });
    expect(b.document()).toMatchObject({ state: 'up', at: null });
    expect(a.events).toEqual(['at 203.0.113.5:31000', 'up']);
  });

  it('is followed when only its port changes', async () => {
    world.nat.set(B, nat);
    const a = start(A, B, roams);
    start(B, A);
    await pass(3000);
    world.nat.set(B, { ...nat, udpPort: 32000 });
    await pass(3000);
    expect(a.document()).toMatchObject({ state: 'up', at: { ...nat, udpPort: 32000 } });
  });

  it('comes home', async () => {
    world.nat.set(B, nat);
    const a = start(A, B, roams);
    start(B, A);
    await pass(3000);
    world.nat.delete(B);
    await pass(3000);
    expect(a.document()).toMatchObject({ state: 'up', at: null });
    expect(a.plan.peers[0].at).toBeUndefined();
  });

  it('keeps its id, and is forgotten with the setting', async () => {
    world.nat.set(B, nat);
    const a = start(A, B, roams);
    start(B, A);
    const { id } = a.plan.peers[0];
    await pass(1500);
    expect(a.plan.peers[0].id).toBe(id);
    a.heartbeats.configure(configOf(A, B, {}));
    expect([...a.heartbeats.moved()]).toEqual([]);
  });

  it('is not followed without the setting', async () => {
    world.nat.set(B, nat);
    const a = start(A, B);
    start(B, A);
    await pass(2000);
    expect([a.document().at, a.events]).toEqual([null, ['down']]);
  });

  it('is not followed by another key', async () => {
    world.nat.set(B, nat);
    const a = start(A, B, roams);
    start(B, A, { heartbeat: { ...KEY, key: 'a guess' } });
    await pass(2000);
    expect([a.document().at, a.events]).toEqual([null, ['down']]);
  });

  it('is not moved by what somebody recorded, at any time', async () => {
    const a = start(A, B, roams);
    start(B, A);
    await pass(2000);
    const recorded = world.log.filter((packet) => packet.from.address === B);
    const thief = { address: '203.0.113.66', udpPort: 5555 };
    for (let round = 0; round < 3; round++) {
      for (const packet of recorded) arrive({ ...packet, from: thief });
      await pass(1500);
      if (round === 1) end(B);
    }
    expect(a.document()).toMatchObject({ at: null, state: 'down' });
    expect(a.events).toEqual(['up', 'down']);
    // It was asked, and had no answer.
    expect(world.log.some((packet) => packet.to.address === thief.address)).toBe(true);
  });

  it('that is up where it is, is not moved by another instance of its name', async () => {
    const a = start(A, B, roams);
    start(B, A);
    await pass(2000);
    const real = world.nodes.get(B)!;
    world.nodes.delete(B);
    world.nodes.set('real', real);
    world.nat.set('real', { address: B, udpPort: 4789 });
    world.nat.set(B, nat);
    start(B, A);
    await pass(2000);
    expect(a.document().at).toBeNull();
  });

  it('is not followed to where another peer is', async () => {
    const a = start(A, B, { peers: [{ address: B, roams: true }, { address: nat.address }] });
    world.nat.set(B, nat);
    start(B, A);
    await pass(2000);
    expect(a.document().at).toBeNull();
  });
});

describe('a black hole', () => {
  it('is found, told and forgotten when it is gone', async () => {
    const a = start(A, B);
    const b = start(B, A);
    world.loses = ({ to, outerBytes }) => to.address === B && outerBytes > 1400;
    await pass(12_000);
    expect(a.document()).toMatchObject({ state: 'up', blackHole: 1400 });
    expect(a.paths.list()).toMatchObject([{ network: 'blue', address: B, bytes: 1400, why: 'probe' }]);
    // The other direction takes all.
    expect([b.document().blackHole, b.paths.list()]).toEqual([null, []]);
    world.loses = () => false;
    await pass(310_000, 50);
    expect([a.document().blackHole, a.paths.list()]).toEqual([null, []]);
  });

  it('is none where a router says what it takes', async () => {
    const a = start(A, B);
    start(B, A);
    world.loses = ({ outerBytes }) => outerBytes > 1400;
    await pass(1100);
    a.paths.lower('blue', B, 1400, 'icmp');
    await pass(10_000);
    expect(a.document().blackHole).toBeNull();
    expect(a.paths.list()).toMatchObject([{ bytes: 1400, why: 'icmp' }]);
  });

  it('is none where a NAT lets in nothing but what comes from the tunnel’s port', async () => {
    const nat = { address: '203.0.113.5', udpPort: 31000 };
    world.nat.set(B, nat);
    const a = start(A, B, { peers: [{ address: B, roams: true }] });
    const b = start(B, A);
    world.loses = ({ from, to }) => to.address === nat.address && from.udpPort !== 4789;
    await pass(12_000);
    for (const side of [a, b]) {
      expect(side.document()).toMatchObject({ state: 'up', blackHole: null });
      expect(side.paths.list()).toEqual([]);
    }
    expect(a.document().at).toEqual(nat);
    // It was looked for all the same.
    expect(world.log.some(({ from, outerBytes }) => from.address === A && outerBytes === 1500)).toBe(true);
  });

  it('is none where only some ports get through', async () => {
    const a = start(A, B);
    start(B, A);
    world.loses = ({ from, to }) => to.address === B && from.udpPort !== 4789;
    await pass(20_000);
    expect([a.document().blackHole, a.paths.list()]).toEqual([null, []]);
  });

  it('is not looked for without probeMtu', async () => {
    const a = start(A, B, { probeMtu: false });
    start(B, A);
    await pass(5000);
    expect(a.document().state).toBe('up');
    expect(world.log.filter(({ from, outerBytes }) => from.address === A && outerBytes > 122)).toEqual([]);
  });
});
