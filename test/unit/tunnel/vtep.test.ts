import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createVtepTable, ROW_ACCEPTS, ROW_NETWORK, vtepKey } from '../../../src/tunnel/vtep.js';

const PEERS = 32;
const NETWORKS = 16;
const table = createVtepTable(PEERS, NETWORKS);

/** Addresses that differ in one byte of any of their four words. */
const address = fc.tuple(fc.nat(3), fc.constantFrom(0, 1, 255, 256, -1, 0x01000000)).map(([word, value]) => {
  const words = [0, 0, 0xffff0000 | 0, 0x020012c6];
  words[word] = value;
  return Int32Array.from(words);
});
const carrier = fc.integer({ min: 1, max: 63 });
const kind = fc.constantFrom(1, 2, 3, 6);
/** VNIs, and keys of 32 bits as they are written in a plan: unsigned. */
const id = fc.constantFrom(0, 1, 2, 42, 0x10000, 0xfffffe, 0xffffff, 0x7fffffff, 0x80000000, 0xffffffff);

const networkEntry = fc.record({ carrier, kind, id, network: fc.integer({ min: 1, max: 511 }), accepts: fc.boolean() });
const peerEntry = fc.record({ carrier, kind, id, address, peer: fc.integer({ min: 1, max: 2047 }) });

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
          const name = (c: number, k: number, i: number, a: Int32Array) => `${c}/${k}/${i}/${a.join()}`;
          for (const n of networks) {
            table.addNetwork(vtepKey(n.carrier, n.kind), n.id, n.network, n.accepts);
            networkTwin.set(`${n.carrier}/${n.kind}/${n.id}`, [n.network, n.accepts ? 1 : 0]);
          }
          for (const p of peers) {
            table.addPeer(vtepKey(p.carrier, p.kind), p.id, p.address, p.peer, 5);
            peerTwin.set(name(p.carrier, p.kind, p.id, p.address), p.peer);
          }
          for (const { carrier: c, kind: k, id: i, address: a } of [...peers, ...others]) {
            const key = vtepKey(c, k);
            // Lane columns hold signed words.
            const row = table.findNetwork(key, i | 0);
            const { networkRows } = table;
            const found = row < 0 ? undefined : [networkRows[row + ROW_NETWORK], networkRows[row + ROW_ACCEPTS]];
            expect(found).toEqual(networkTwin.get(`${c}/${k}/${i}`));
            const words = Int32Array.from([9, 9, ...a, 9]);
            expect(table.findPeer(key, i | 0, words, 2)).toBe(peerTwin.get(name(c, k, i, a)) ?? 0);
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  it('takes as many as it was made for', () => {
    table.clear();
    const key = vtepKey(1, 2);
    const addressOf = (p: number) => Int32Array.of(0, 0, -65536, p << 24);
    for (let n = 0; n < NETWORKS; n++) table.addNetwork(key, n, n + 1, false);
    for (let p = 0; p < PEERS; p++) table.addPeer(key, p % NETWORKS, addressOf(p), p + 1, 1);
    for (let n = 0; n < NETWORKS; n++) expect(table.networkRows[table.findNetwork(key, n) + ROW_NETWORK]).toBe(n + 1);
    for (let p = 0; p < PEERS; p++) expect(table.findPeer(key, p % NETWORKS, addressOf(p), 0)).toBe(p + 1);
    expect(table.findNetwork(key, NETWORKS)).toBe(-1);
    expect(table.findNetwork(vtepKey(1, 1), 0)).toBe(-1);
    expect(table.findPeer(vtepKey(2, 2), 0, addressOf(0), 0)).toBe(0);
    expect(table.findPeer(vtepKey(1, 3), 0, addressOf(0), 0)).toBe(0);
  });

  it('tells addresses apart by each of their words', () => {
    // A quarter of the table is occupied by addresses that differ in one word alone: a probe that left it out would find another's row.
    const large = createVtepTable(512, 1);
    for (const word of [0, 1, 2, 3]) {
      large.clear();
      const addressOf = (n: number) => Int32Array.of(7, 7, 7, 7).fill(n * 0x01010101, word, word + 1);
      for (let n = 0; n < 512; n++) large.addPeer(vtepKey(1, 1), 1, addressOf(n), n + 1, 1);
      for (let n = 0; n < 1024; n++) {
        expect(large.findPeer(vtepKey(1, 1), 1, addressOf(n), 0)).toBe(n < 512 ? n + 1 : 0);
      }
    }
  });

  it('is empty after clear', () => {
    table.addNetwork(vtepKey(1, 1), 1, 1, true);
    table.addPeer(vtepKey(1, 1), 1, Int32Array.of(0, 0, 0, 0), 3, 1);
    table.clear();
    expect(table.findNetwork(vtepKey(1, 1), 1)).toBe(-1);
    expect(table.findPeer(vtepKey(1, 1), 1, Int32Array.of(0, 0, 0, 0), 0)).toBe(0);
  });
});
