import { sharedInts } from '../packet/burst.js';

/**
 * Who sent this tunnel packet, and which network is it for: (underlay, VNI) -> network and (underlay, VNI, source address) -> peer.
 * Open addressing over flat words, compiled from the plan; at most a quarter full, so a probe is one or two entries.
 *
 *   network row:  [ key | network | acceptUnknown | 0 ]               key = VNI | underlay << 24, never 0 (underlay ids start at 1)
 *   peer row:     [ a0 a1 a2 a3 | key | peer | network | 0 ]           address IPv4-mapped, bytes as they lie in memory
 */
export interface VtepTable {
  clear(): void;
  addNetwork(underlay: number, vni: number, network: number, acceptUnknown: boolean): void;
  addPeer(underlay: number, vni: number, address: Int32Array, peer: number, network: number): void;
  /** Row word of (underlay, VNI) in `networkRows`, or -1. */
  findNetwork(key: number): number;
  /** Peer id, or 0. The address is four words of `words` from `at`. */
  findPeer(key: number, words: Int32Array, at: number): number;
  readonly networkRows: Int32Array;
}

export const vtepKey = (underlay: number, vni: number) => vni | (underlay << 24);

const NETWORK_WORDS = 4;
const PEER_WORDS = 8;

const powerOfTwo = (n: number) => 2 ** Math.ceil(Math.log2(n));

function addressHash(key: number, a0: number, a1: number, a2: number, a3: number): number {
  let x = Math.imul(key, 0x9e3779b1) ^ a3;
  x = Math.imul(x ^ (x >>> 15), 0x85ebca6b) ^ a2;
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35) ^ a1;
  x = Math.imul(x ^ (x >>> 15), 0x2c1b3c6d) ^ a0;
  return Math.imul(x ^ (x >>> 12), 0x297a2d39) >>> 8;
}

export function createVtepTable(peersMax: number, networksMax: number): VtepTable {
  const networkCount = powerOfTwo(networksMax * 4);
  const peerCount = powerOfTwo(peersMax * 4);
  const networkRows = sharedInts(networkCount * NETWORK_WORDS);
  const peerRows = sharedInts(peerCount * PEER_WORDS);

  function networkSlot(key: number): number {
    let r = Math.imul(key, 0x9e3779b1) >>> 8;
    for (; ; r++) {
      const at = (r & (networkCount - 1)) * NETWORK_WORDS;
      if (networkRows[at] === 0 || networkRows[at] === key) return at;
    }
  }

  function peerSlot(key: number, w: Int32Array, at: number): number {
    let r = addressHash(key, w[at], w[at + 1], w[at + 2], w[at + 3]);
    for (; ; r++) {
      const p = (r & (peerCount - 1)) * PEER_WORDS;
      const k = peerRows[p + 4];
      if (k === 0) return p;
      if (k !== key || peerRows[p + 3] !== w[at + 3] || peerRows[p + 2] !== w[at + 2]) continue;
      if (peerRows[p + 1] === w[at + 1] && peerRows[p] === w[at]) return p;
    }
  }

  return {
    networkRows,
    clear() {
      networkRows.fill(0);
      peerRows.fill(0);
    },
    addNetwork(underlay, vni, network, acceptUnknown) {
      const key = vtepKey(underlay, vni);
      const at = networkSlot(key);
      networkRows[at] = key;
      networkRows[at + 1] = network;
      networkRows[at + 2] = acceptUnknown ? 1 : 0;
    },
    addPeer(underlay, vni, address, peer, network) {
      const key = vtepKey(underlay, vni);
      const p = peerSlot(key, address, 0);
      peerRows.set(address.subarray(0, 4), p);
      peerRows[p + 4] = key;
      peerRows[p + 5] = peer;
      peerRows[p + 6] = network;
    },
    findNetwork(key) {
      const at = networkSlot(key);
      return networkRows[at] === 0 ? -1 : at;
    },
    findPeer(key, words, at) {
      const p = peerSlot(key, words, at);
      return peerRows[p + 4] === 0 ? 0 : peerRows[p + 5];
    },
  };
}
