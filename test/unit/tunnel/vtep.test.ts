import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createVtepTable, vtepKey } from '../../../src/tunnel/vtep.js';

const PEERS = 32;
const NETWORKS = 16;
const table = createVtepTable(PEERS, NETWORKS);

/** Addresses that differ in one byte of any of their four words. */
const address = fc.tuple(fc.nat(3), fc.constantFrom(0, 1, 255, 256, -1, 0x01000000)).map(([word, value]) => {
  const words = [0, 0, 0xffff0000 | 0, 0x020012c6];
  words[word] = value;
  return Int32Array.from(words);
});
const underlay = fc.integer({ min: 1, max: 15 });
const vni = fc.constantFrom(0, 1, 2, 42, 0x10000, 0xfffffe, 0xffffff);

const networkEntry = fc.record({ underlay, vni, network: fc.integer({ min: 1, max: 511 }), accepts: fc.boolean() });
const peerEntry = fc.record({ underlay, vni, address, peer: fc.integer({ min: 1, max: 2047 }) });

describe('the table of VTEPs', () => {
  it('agrees with a Map', () => {
    fc.assert(
      fc.property(
        fc.array(networkEntry, { maxLength: NETWORKS }),
        fc.array(peerEntry, { maxLength: PEERS }),
        fc.array(peerEntry, { maxLength: 30 }),
        (networks, peers, others) => {
          table.clear();
          const networkTwin = new Map<string, [number, number]>();
          const peerTwin = new Map<string, number>();
          const name = (u: number, v: number, a: Int32Array) => `${u}/${v}/${a.join()}`;
          for (const n of networks) {
            table.addNetwork(n.underlay, n.vni, n.network, n.accepts);
            networkTwin.set(`${n.underlay}/${n.vni}`, [n.network, n.accepts ? 1 : 0]);
          }
          for (const p of peers) {
            table.addPeer(p.underlay, p.vni, p.address, p.peer, 5);
            peerTwin.set(name(p.underlay, p.vni, p.address), p.peer);
          }
          for (const { underlay: u, vni: v, address: a } of [...peers, ...others]) {
            const key = vtepKey(u, v);
            const row = table.findNetwork(key);
            const found = row < 0 ? undefined : [table.networkRows[row + 1], table.networkRows[row + 2]];
            expect(found).toEqual(networkTwin.get(`${u}/${v}`));
            const words = Int32Array.from([9, 9, ...a, 9]);
            expect(table.findPeer(key, words, 2)).toBe(peerTwin.get(name(u, v, a)) ?? 0);
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  it('takes as many as it was made for', () => {
    table.clear();
    for (let n = 0; n < NETWORKS; n++) table.addNetwork(1, n, n + 1, false);
    for (let p = 0; p < PEERS; p++) table.addPeer(1, p % NETWORKS, Int32Array.of(0, 0, -65536, p << 24), p + 1, 1);
    for (let n = 0; n < NETWORKS; n++) expect(table.networkRows[table.findNetwork(vtepKey(1, n)) + 1]).toBe(n + 1);
    for (let p = 0; p < PEERS; p++) {
      expect(table.findPeer(vtepKey(1, p % NETWORKS), Int32Array.of(0, 0, -65536, p << 24), 0)).toBe(p + 1);
    }
    expect(table.findNetwork(vtepKey(1, NETWORKS))).toBe(-1);
    expect(table.findPeer(vtepKey(2, 0), Int32Array.of(0, 0, -65536, 0), 0)).toBe(0);
  });

  it('tells addresses apart by each of their words', () => {
    // A quarter of the table is occupied by addresses that differ in one word alone: a probe that left it out would find another's row.
    const large = createVtepTable(512, 1);
    for (const word of [0, 1, 2, 3]) {
      large.clear();
      const addressOf = (n: number) => Int32Array.of(7, 7, 7, 7).fill(n * 0x01010101, word, word + 1);
      for (let n = 0; n < 512; n++) large.addPeer(1, 1, addressOf(n), n + 1, 1);
      for (let n = 0; n < 1024; n++) expect(large.findPeer(vtepKey(1, 1), addressOf(n), 0)).toBe(n < 512 ? n + 1 : 0);
    }
  });

  it('is empty after clear', () => {
    table.addNetwork(1, 1, 1, true);
    table.addPeer(1, 1, Int32Array.of(0, 0, 0, 0), 3, 1);
    table.clear();
    expect(table.findNetwork(vtepKey(1, 1))).toBe(-1);
    expect(table.findPeer(vtepKey(1, 1), Int32Array.of(0, 0, 0, 0), 0)).toBe(0);
  });
});
