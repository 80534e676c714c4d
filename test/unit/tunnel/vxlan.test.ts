import { beforeEach, describe, expect, it } from 'vitest';
import { FROM_PEER, TO_PEER } from '../../../src/packet/burst.js';
import { createClock } from '../../../src/packet/clock.js';
import {
  LAST_HEARD,
  makeCounterBlock,
  PEER_ROW,
  ROW_WIDTH,
  RX_BYTES,
  RX_PACKETS,
} from '../../../src/packet/counters.js';
import { DROP } from '../../../src/packet/drop.js';
import { createVtepTable } from '../../../src/tunnel/vtep.js';
import * as Vxlan from '../../../src/tunnel/vxlan.js';
import { join, toHex, udp, v4, vxlan } from '../../rig/frames.js';
import { makeLanes } from '../../rig/lanes.js';

const UNDERLAY = 3;
const VNI = 0x123456;
const lanes = makeLanes();
const { burst, arena } = lanes;
const sources = new Int32Array(64 * 4);
const vteps = createVtepTable(64, 16);
const clock = createClock(77);
const counters = new Float64Array(makeCounterBlock());
const strangers: number[][] = [];
const decap = Vxlan.bindDecap(arena, burst, sources, vteps, clock, counters, (...args) => strangers.push(args));

/** Address words as they lie in memory, IPv4-mapped. */
const words = (address: string) => new Int32Array(join('00000000000000000000ffff', v4(address)).buffer);

vteps.addNetwork(UNDERLAY, VNI, 7, false);
vteps.addNetwork(UNDERLAY, 0, 8, false);
vteps.addNetwork(UNDERLAY, 0xffffff, 9, true);
vteps.addNetwork(UNDERLAY + 1, 99, 10, false);
vteps.addPeer(UNDERLAY, VNI, words('198.18.0.2'), 21, 7);
vteps.addPeer(UNDERLAY, 0, words('198.18.0.2'), 22, 8);
vteps.addPeer(UNDERLAY, VNI, words('198.18.0.3'), 23, 7);

beforeEach(() => {
  strangers.length = 0;
  counters.fill(0);
});

/** Decaps datagrams; `from` is the index into the addresses. */
function run(datagrams: Uint8Array[], addresses: string[], from: (i: number) => number = (i) => i): number[] {
  lanes.lay(datagrams, { offset: 2 });
  addresses.forEach((address, i) => {
    sources.set(words(address), i * 4);
  });
  for (let i = 0; i < datagrams.length; i++) {
    burst.from[i] = from(i);
    burst.network[i] = 0;
    burst.origin[i] = 0;
  }
  decap(datagrams.length, UNDERLAY);
  return Array.from(burst.drop.slice(0, datagrams.length));
}

const inner = udp({ payload: 20 });

describe('encap', () => {
  it('writes the eight bytes of RFC 7348 in front of the frame, wherever it lies', () => {
    const encap = Vxlan.bindEncap(arena);
    for (const offset of [0, 1, 2, 3, 58]) {
      lanes.lay([inner], { offset });
      // VNI 0x123456 as it lies in memory: 12 34 56 00.
      encap(burst.at[0], 0x00563412);
      const header = arena.bytes.slice(burst.at[0] - 8, burst.at[0]);
      expect(toHex(header)).toBe('0800000012345600');
      expect(lanes.frame(0)).toEqual(inner);
      expect(lanes.isGuarded(0, 8)).toBe(true);
    }
  });
});

describe('decap', () => {
  it('takes the header of RFC 7348 off and finds network and peer', () => {
    expect(run([join('0800000012345600', inner)], ['198.18.0.2'])).toEqual([0]);
    expect(lanes.frame(0)).toEqual(inner);
    expect([burst.network[0], burst.origin[0], burst.flags[0]]).toEqual([7, TO_PEER | 21, FROM_PEER]);
  });

  it('ignores every reserved bit on receipt (RFC 7348 section 5)', () => {
    for (let bit = 0; bit < 64; bit++) {
      const header = join('0800000012345600');
      const at = bit >> 3;
      if (at >= 4 && at < 7) continue; // the VNI
      header[at] |= 0x80 >> (bit & 7);
      expect(run([join(header, inner)], ['198.18.0.2']), `bit ${bit}`).toEqual([0]);
      expect(burst.origin[0]).toBe(TO_PEER | 21);
    }
  });

  it('needs the I flag', () => {
    for (const flags of [0, 0xf7, 0x04, 0x10]) {
      expect(run([vxlan(VNI, inner, flags)], ['198.18.0.2'])).toEqual([DROP['tunnel-flags']]);
    }
  });

  it('needs something behind its header, at every length', () => {
    const datagram = vxlan(VNI, inner);
    for (let length = 0; length <= datagram.length; length++) {
      const drop = run([datagram.slice(0, length)], ['198.18.0.2'])[0];
      expect(drop, `${length}`).toBe(length <= 8 ? DROP['malformed-tunnel'] : 0);
      expect(burst.len[0]).toBe(length <= 8 ? length : length - 8);
      expect(lanes.isGuarded(0, 8)).toBe(true);
    }
  });

  it('knows VNIs of its own underlay alone, the first and the last included', () => {
    const frames = [0, 1, 99, VNI, VNI + 1, 0xffffff].map((vni) => vxlan(vni, inner));
    const drops = run(frames, ['198.18.0.2'], () => 0);
    const unknown = DROP['unknown-vni'];
    expect(drops).toEqual([0, unknown, unknown, 0, unknown, 0]);
    expect(Array.from(burst.network.slice(0, 6))).toEqual([8, 0, 0, 7, 0, 9]);
  });

  it('takes frames of configured peers alone', () => {
    const drops = run(
      [vxlan(VNI, inner), vxlan(VNI, inner), vxlan(0, inner)],
      ['198.18.0.3', '198.18.0.4', '198.18.0.3'],
    );
    expect(drops).toEqual([0, DROP['unknown-peer'], DROP['unknown-peer']]);
    expect(burst.origin[0]).toBe(TO_PEER | 23);
    expect([burst.network[1], burst.origin[1], burst.flags[1]]).toEqual([0, 0, 0]);
  });

  it('takes frames of strangers where the network says so, from nowhere, and tells of them', () => {
    expect(run([vxlan(0xffffff, inner), vxlan(0xffffff, inner)], ['198.18.0.9'], () => 0)).toEqual([0, 0]);
    expect([burst.network[0], burst.origin[0], burst.flags[0]]).toEqual([9, 0, FROM_PEER]);
    expect(strangers).toEqual([[UNDERLAY, 9, 0]]);
    run([vxlan(VNI, inner), vxlan(0xffffff, inner)], ['198.18.0.2', '198.18.0.9']);
    expect(strangers[1]).toEqual([UNDERLAY, 9, 4]);
  });

  it('looks again when VNI or sender change inside of a burst', () => {
    const frames = [VNI, VNI, 0, VNI, VNI].map((vni) => vxlan(vni, inner));
    expect(run(frames, ['198.18.0.2', '198.18.0.3'], (i) => (i === 4 ? 1 : 0))).toEqual([0, 0, 0, 0, 0]);
    const peers = Array.from(burst.origin.slice(0, 5), (o) => o & 0xffff);
    expect(peers).toEqual([21, 21, 22, 21, 23]);
    expect(Array.from(burst.network.slice(0, 5))).toEqual([7, 7, 8, 7, 7]);
  });

  it('tells senders apart by every word of their address', () => {
    const base = [0x01020304, 0x05060708, 0x090a0b0c, 0x0d0e0f10];
    const all = [base, ...base.map((_, word) => base.map((w, k) => (k === word ? w + 1 : w)))].map((a) =>
      Int32Array.from(a),
    );
    all.forEach((address, k) => {
      vteps.addPeer(UNDERLAY, VNI, address, 40 + k, 7);
    });
    const frames = all.flatMap(() => [vxlan(VNI, inner), vxlan(VNI, inner)]);
    lanes.lay(frames);
    frames.forEach((_, i) => {
      // The first sender again and again, each of the others in between.
      sources.set(all[i % 2 === 0 ? 0 : (i - 1) / 2], i * 4);
      burst.from[i] = i;
    });
    decap(frames.length, UNDERLAY);
    const peers = Array.from(burst.origin.slice(0, frames.length), (o) => o & 0xffff);
    expect(peers).toEqual([40, 40, 40, 41, 40, 42, 40, 43, 40, 44]);
  });

  it('counts each peer of a burst for itself', () => {
    const peers = [0, 0, 1, 0, 1, 1, 1, 0];
    run(
      peers.map(() => vxlan(VNI, inner)),
      ['198.18.0.2', '198.18.0.3'],
      (i) => peers[i],
    );
    for (const peer of [21, 23]) {
      const row = (PEER_ROW + peer) * ROW_WIDTH;
      expect([counters[row + RX_PACKETS], counters[row + RX_BYTES]]).toEqual([4, 4 * inner.length]);
    }
  });

  it('counts what a peer sent and when it was heard', () => {
    run([vxlan(VNI, inner), vxlan(VNI, udp({ payload: 99 })), vxlan(VNI, inner, 0)], ['198.18.0.2'], () => 0);
    const row = (PEER_ROW + 21) * ROW_WIDTH;
    expect(counters[row + RX_PACKETS]).toBe(2);
    expect(counters[row + RX_BYTES]).toBe(inner.length + 141);
    expect(counters[row + LAST_HEARD]).toBe(77);
    expect(counters.reduce((a, b) => a + b)).toBe(2 + inner.length + 141 + 77);
  });

  it('leaves lanes that are dropped', () => {
    lanes.lay([vxlan(VNI, inner)], { drop: DROP.truncated });
    decap(1, UNDERLAY);
    expect(burst.drop[0]).toBe(DROP.truncated);
    expect(lanes.frame(0)).toEqual(vxlan(VNI, inner));
  });
});
