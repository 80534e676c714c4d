// One kind's decap over lanes of a test: datagrams in, what became of each lane out.
import { DROP_REASONS, type DropName } from '../../src/packet/drop.js';
import { KIND, type TunnelKind } from '../../src/tunnel/tunnel.js';
import { toHex } from './frames.js';
import type { Lanes } from './lanes.js';

export interface Taken {
  drop: DropName;
  /** Of lanes that live. */
  key?: number;
  payload?: number;
  metaLen?: number;
  inner?: Uint8Array;
}

export type Decap = (...datagrams: Uint8Array[]) => Taken[];

/** A function that lays datagrams into lanes, decaps them and checks that only columns have changed, and only those of living lanes. */
export function decapOf(lanes: Lanes, kind: TunnelKind, decap: (count: number) => void): Decap {
  const { burst } = lanes;
  return (...datagrams) => {
    // Misaligned, as frames are behind an outer header.
    lanes.lay(datagrams, { offset: 2 });
    burst.tunnel.fill(KIND[kind]);
    const before = Array.from(burst.at);
    decap(datagrams.length);
    return datagrams.map((datagram, i) => {
      const taken = burst.at[i] - before[i];
      if (burst.len[i] + taken !== datagram.length || taken < 0 || burst.len[i] < 0) {
        throw new Error(`lane ${i} of ${datagram.length} bytes: ${burst.len[i]} from ${taken}`);
      }
      const drop = DROP_REASONS[burst.drop[i]].name;
      if (drop !== 'none') {
        if (taken !== 0) throw new Error(`lane ${i} was moved and dropped`);
        return { drop };
      }
      if (toHex(lanes.frame(i)) !== toHex(datagram.slice(taken))) throw new Error(`lane ${i} has other bytes`);
      return {
        drop,
        key: burst.key[i],
        payload: burst.payload[i],
        metaLen: burst.metaLen[i],
        inner: lanes.frame(i),
      };
    });
  };
}
