// Hostile ARP and neighbour discovery: right, damaged, cut and tagged at random, from ports and peers. A static neighbour is never claimed by
// another MAC in anything that goes out, the table keeps its limit, and every packet is accounted for.
import { expect, it } from 'vitest';
import { forEachNeighbour, type NeighbourTable } from '../../src/forward/neighbourTable.js';
import { installNeighbours, readNeighbours } from '../../src/worker/neighbourRows.js';
import { BROADCAST, join, onesSum, read16, stationMac, stationV4, toHex } from '../rig/frames.js';
import { advertise, arp, icmpv6, linkLocal, NOBODY, solicit, UNSPECIFIED } from '../rig/neighbours.js';
import { makeRig, network, PEER_A, PEER_B, passSeconds, peer, type Rig } from '../rig/pipeline.js';
import { anyOffload, damage, fuzzSeed, makeRandom, type Random } from '../rig/random.js';

const SECONDS = 5;
const BATCHES_MIN = 100;
const LIMIT = 12;
const VNI = 41;
const STATIC = 5;
const STATICS = ['10.0.0.5', 'fe80::5'].map((address) => ({
  network: 1,
  address,
  mac: '02:00:00:00:00:05',
  isRouter: false,
}));

function fuzzRig(): Rig {
  const rig = makeRig({
    ports: {
      a: { id: 1, network: 1 },
      t: { id: 2, network: 1, kind: 'tap', vnetHdrLen: 12, offloads: 7 },
    },
    networks: [network(1, { neighbourLimit: LIMIT, acceptUnknownPeers: true })],
    peers: [peer(1, 1, PEER_A), peer(2, 1, PEER_B)],
  });
  installNeighbours(rig.pipeline.neighbours, STATICS);
  return rig;
}

const who = (r: Random) => r.pick([1, 2, 3, STATIC, STATIC, 9, r.below(60)]);
const mac = (r: Random) => (r.once(12) ? r.pick([BROADCAST, new Uint8Array(6)]) : stationMac(who(r)));

function tagsOf(r: Random): [number, number][] | undefined {
  if (!r.once(4)) return undefined;
  return Array.from({ length: 1 + r.below(3) }, () => [r.pick([0x8100, 0x88a8]), r.pick([0, 0x2000, 5, 0xffff])]);
}

function anyArp(r: Random): Uint8Array {
  const address = () => (r.once(8) ? NOBODY : stationV4(who(r)));
  return arp({
    operation: r.once(8) ? r.below(10) : 1 + r.below(2),
    sha: mac(r),
    tha: mac(r),
    spa: address(),
    tpa: address(),
    src: stationMac(1 + r.below(12)),
    dst: r.once(3) ? stationMac(who(r)) : BROADCAST,
    tags: tagsOf(r),
    trailer: r.below(20),
  });
}

function anyDiscovery(r: Random): Uint8Array {
  const address = () => (r.once(10) ? UNSPECIFIED : linkLocal(who(r)));
  const options = Array.from({ length: r.below(4) }, () =>
    r.once(5) ? join(r.below(20), r.below(4), new Uint8Array(r.below(20))) : join(1 + r.below(2), 1, mac(r)),
  );
  const bodies: Record<number, Uint8Array> = { 133: new Uint8Array(4), 134: new Uint8Array(12) };
  const type = r.pick([133, 134, 135, 135, 136, 136, 137]);
  const body = bodies[type] ?? join(r.pick([0, 0x20, 0xe0]), 0, 0, 0, address(), type === 137 ? address() : []);
  return icmpv6(
    {
      src: stationMac(1 + r.below(12)),
      ipSrc: address(),
      ipDst: r.once(2) ? linkLocal(who(r)) : undefined,
      hopLimit: r.once(10) ? 64 : 255,
      code: r.once(20) ? 1 : 0,
      checksumError: r.once(10) ? 1 : 0,
      tags: tagsOf(r),
      extensions: r.once(6) ? { first: r.pick([0, 43, 60, 44]), bytes: join(58, 0, 1, 4, 0, 0, 0, 0) } : undefined,
    },
    type,
    join(body, ...options),
  );
}

function anyFrame(r: Random): Uint8Array {
  const kind = r.below(6);
  if (kind === 0) return solicit({ src: who(r), target: who(r) });
  if (kind === 1) return advertise({ src: who(r), target: who(r), flags: r.pick([0, 0x20, 0xe0]) });
  const frame = kind < 4 ? anyArp(r) : anyDiscovery(r);
  if (r.once(6)) return frame.slice(0, 14 + r.below(frame.length));
  return r.once(4) ? damage(r, frame) : frame;
}

/** What a host would believe: the addresses and MACs that a frame claims, by a reader of its own. */
function claimsOf(f: Uint8Array): { address: string; mac: string }[] {
  let p = 12;
  for (let tags = 0; [0x8100, 0x88a8].includes(read16(f, p)); tags++) {
    if (tags === 2 || (read16(f, p + 2) & 0xfff) !== 0) return [];
    p += 4;
  }
  const hex = toHex(f.slice(p));
  if (/^08060001080006040001|^08060001080006040002/.test(hex) && hex.length >= 60)
    return [{ address: hex.slice(32, 40), mac: hex.slice(20, 32) }];
  const ip = p + 2;
  const end = ip + 40 + read16(f, ip + 4);
  if (!hex.startsWith('86dd6') || f[ip + 6] !== 58 || f[ip + 7] !== 255 || end > f.length || end < ip + 64) return [];
  const pseudo = join(f.slice(ip + 8, ip + 40), 0, 0, read16(f, ip + 4) >> 8, f[ip + 5], 0, 0, 0, 58);
  if (onesSum(pseudo, f.slice(ip + 40, end)) !== 0xffff || f[ip + 41] !== 0) return [];
  const isAdvertisement = f[ip + 40] === 136;
  if (!isAdvertisement && f[ip + 40] !== 135) return [];
  const address = toHex(isAdvertisement ? f.slice(ip + 48, ip + 64) : f.slice(ip + 8, ip + 24));
  const options: { type: number; mac: string }[] = [];
  for (let o = ip + 64; o < end; o += f[o + 1] * 8) {
    if (o + 8 > end || f[o + 1] === 0 || o + f[o + 1] * 8 > end) return [];
    options.push({ type: f[o] * 100 + f[o + 1], mac: toHex(f.slice(o + 2, o + 8)) });
  }
  return options.filter(({ type }) => type === (isAdvertisement ? 201 : 101)).map((o) => ({ address, mac: o.mac }));
}

const isLie = ({ address, mac: claimed }: { address: string; mac: string }) =>
  (address === '0a000005' || address === toHex(linkLocal(STATIC))) && claimed !== toHex(stationMac(STATIC));

const learned = (table: NeighbourTable) => {
  let n = 0;
  forEachNeighbour(table, 0, true, (e) => {
    n += Number(!e.isStatic);
  });
  return n;
};

function batch(r: Random, rig: Rig): void {
  for (let n = 1 + r.below(20); n > 0; n--) {
    const frames = Array.from({ length: 1 + r.below(8) }, () => anyFrame(r));
    if (r.once(2)) rig.fromPeer(r.pick([PEER_A, PEER_B, '198.18.0.99']), VNI, frames);
    else for (const frame of frames) rig.from(r.pick(['a', 't']), frame, r.once(8) ? anyOffload(r, frame) : undefined);
  }
  if (r.once(4)) passSeconds(rig, r.pick([1, 100, 301]));
  if (r.once(4)) rig.pipeline.tick();
  const out = [
    ...rig.delivered().map((d) => d.frame),
    ...rig.kernel.sent.splice(0).flatMap((m) => m.datagrams.map((d) => d.slice(8))),
  ];
  for (const frame of out) expect(claimsOf(frame).filter(isLie), toHex(frame)).toEqual([]);
  const table = rig.pipeline.neighbours as NeighbourTable;
  expect(learned(table)).toBeLessThanOrEqual(LIMIT);
  const statics = readNeighbours(table, rig.clock.seconds).filter((n) => n.isStatic);
  expect(statics.map(({ address, mac: own }) => `${address} ${own}`).sort()).toEqual(
    STATICS.map(({ address, mac: own }) => `${address} ${own}`).sort(),
  );
  rig.check();
}

it('hostile ARP and neighbour discovery', () => {
  const seed = fuzzSeed();
  const r = makeRandom(seed);
  const until = performance.now() + SECONDS * 1000;
  let rig = fuzzRig();
  for (let n = 0; n < BATCHES_MIN || performance.now() < until; n++) {
    if (n % 50 === 49) rig = fuzzRig();
    try {
      batch(r, rig);
    } catch (error) {
      throw new Error(`WEFT_FUZZ_SEED=${seed}, batch ${n}: ${(error as Error).message}`, { cause: error });
    }
  }
});
