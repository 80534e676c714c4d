import { sharedInts } from '../packet/burst.js';

/**
 * Who sent this tunnel packet, and which network is it for: (carrier, kind, id) -> network and (carrier, kind, id, source address) -> peer.
 * Open addressing over flat words, compiled from the plan; at most a quarter full, so a probe is one or two entries.
 *
 *   network row:  [ key | id | network | acceptUnknown ]               key = carrier | kind << 8, never 0 (carrier ids start at 1)
 *   peer row:     [ a0 a1 a2 a3 | key | id | peer | network ]           address IPv4-mapped, bytes as they lie in memory
 *
 * The id is the VNI (vxlan, geneve), the key (gre; 0 for none), or 0 for kinds that have none: those know their network by the carrier alone.
 */
export interface VtepTable {
  clear(): void;
  addNetwork(key: number, id: number, network: number, acceptUnknown: boolean): void;
  addPeer(key: number, id: number, address: Int32Array, peer: number, network: number): void;
  /** Row word in `networkRows`, or -1. */
  findNetwork(key: number, id: number): number;
  /** Peer id, or 0. The address is four words of `words` from `at`. */
  findPeer(key: number, id: number, words: Int32Array, at: number): number;
  readonly networkRows: Int32Array;
}

export const vtepKey = (carrier: number, kind: number) => carrier | (kind << 8);

/** Words of a network row. */
export const ROW_NETWORK = 2;
export const ROW_ACCEPTS = 3;

const NETWORK_WORDS = 4;
const PEER_WORDS = 8;

const powerOfTwo = (n: number) => 2 ** Math.ceil(Math.log2(n));

function addressHash(key: number, id: number, a0: number, a1: number, a2: number, a3: number): number {
  let x = Math.imul(key, 0x9e3779b1) ^ Math.imul(id, 0x85ebca77) ^ a3;
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

  function networkSlot(key: number, id: number): number {
    let r = Math.imul(Math.imul(key, 0x9e3779b1) ^ id, 0x85ebca6b) >>> 8;
    for (; ; r++) {
      const at = (r & (networkCount - 1)) * NETWORK_WORDS;
      if (networkRows[at] === 0 || (networkRows[at] === key && networkRows[at + 1] === id)) return at;
    }
  }

  function peerSlot(key: number, id: number, w: Int32Array, at: number): number {
    let r = addressHash(key, id, w[at], w[at + 1], w[at + 2], w[at + 3]);
    for (; ; r++) {
      const p = (r & (peerCount - 1)) * PEER_WORDS;
      const k = peerRows[p + 4];
      if (k === 0) return p;
      if (k !== key || peerRows[p + 5] !== id || peerRows[p + 3] !== w[at + 3]) continue;
      if (peerRows[p + 2] === w[at + 2] && peerRows[p + 1] === w[at + 1] && peerRows[p] === w[at]) return p;
    }
  }

  return {
    networkRows,
    clear() {
      networkRows.fill(0);
      peerRows.fill(0);
    },
    addNetwork(key, id, network, acceptUnknown) {
      const at = networkSlot(key, id | 0);
      networkRows[at] = key;
      networkRows[at + 1] = id;
      networkRows[at + ROW_NETWORK] = network;
      networkRows[at + ROW_ACCEPTS] = acceptUnknown ? 1 : 0;
    },
    addPeer(key, id, address, peer, network) {
      const p = peerSlot(key, id | 0, address, 0);
      peerRows.set(address.subarray(0, 4), p);
      peerRows[p + 4] = key;
      peerRows[p + 5] = id;
      peerRows[p + 6] = peer;
      peerRows[p + 7] = network;
    },
    findNetwork(key, id) {
      const at = networkSlot(key, id);
      return networkRows[at] === 0 ? -1 : at;
    },
    findPeer(key, id, words, at) {
      const p = peerSlot(key, id, words, at);
      return peerRows[p + 4] === 0 ? 0 : peerRows[p + 6];
    },
  };
}
