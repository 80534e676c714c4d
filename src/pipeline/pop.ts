import type { Arena } from '../packet/arena.js';
import { type Burst, FROM_PEER, LANES, PAYLOAD_ETHERNET, sharedInts } from '../packet/burst.js';
import { DROP } from '../packet/drop.js';
import type { Outer, OuterRules } from '../underlay/outer.js';
import type { FrameUnderlay } from '../underlay/underlay.js';
import type { Tables } from './tables.js';

/**
 * Takes every tunnel off, whatever its kind and id, nested to the underlay's popDepth: the way in of a capture whose tunnels nobody configured.
 * Frames without a tunnel stay as they are. A bare packet gets the link header that was in front of its tunnel, with its own EtherType.
 *
 *   [ Ethernet | IP | UDP | VXLAN | Ethernet | IP | GRE | IP ... ]     ->     [ Ethernet | IP ... ]
 */
export type Pop = (n: number, underlay: FrameUnderlay) => number;

const ETHERNET = 14;

export function bindPop(arena: Arena, burst: Burst, outer: Outer, tables: Tables, takeOff: (n: number) => void): Pop {
  const { bytes, view } = arena;
  const { at, len, drop, flags, network, origin, payload, outerTos, tunnel, metaLen } = burst;
  const { underlayNetwork, networkMode } = tables;
  /** 1: the lane stands at its innermost frame. */
  const isDone = sharedInts(LANES);
  const linkAt = sharedInts(LANES);

  const parked = -1;

  /** Finds the tunnels of one level; returns how many there are. Lanes without one are parked: their drop column is not 0 meanwhile. */
  function findTunnels(n: number, rules: OuterRules): number {
    let found = 0;
    for (let i = 0; i < n; i++) {
      if (isDone[i] !== 0 || drop[i] !== 0) continue;
      linkAt[i] = at[i];
      const wrong = outer.check(i, rules);
      if (wrong === 0 && tunnel[i] !== 0) found++;
      else {
        // No tunnel, or nothing that can be told to be one: a frame like any other, right or wrong.
        isDone[i] = 1;
        drop[i] = parked;
      }
    }
    return found;
  }

  function wrap(i: number): void {
    const to = at[i] - ETHERNET;
    bytes.copyWithin(to, linkAt[i], linkAt[i] + ETHERNET);
    view.setUint16(to + 12, payload[i]);
    at[i] = to;
    len[i] += ETHERNET;
  }

  function finishLevel(n: number): void {
    for (let i = 0; i < n; i++) {
      if (isDone[i] !== 0 || drop[i] !== 0) continue;
      if (payload[i] === 0x0800 || payload[i] === 0x86dd) wrap(i);
      else if (payload[i] !== PAYLOAD_ETHERNET) drop[i] = DROP['tunnel-protocol'];
    }
  }

  return function pop(n, underlay) {
    const { rules, popDepth } = underlay;
    for (let i = 0; i < n; i++) isDone[i] = 0;
    let depth = 0;
    while (findTunnels(n, rules) > 0) {
      if (depth++ === popDepth) {
        for (let i = 0; i < n; i++) if (isDone[i] === 0 && drop[i] === 0) drop[i] = DROP['nesting-limit'];
        break;
      }
      takeOff(n);
      finishLevel(n);
    }
    const net = underlayNetwork[underlay.id];
    for (let i = 0; i < n; i++) {
      if (drop[i] === parked) drop[i] = 0;
      network[i] = net;
      origin[i] = 0;
      tunnel[i] = 0;
      metaLen[i] = 0;
      // What was inside stays as it is: nobody is on the way to its receiver here.
      outerTos[i] = 0;
      if (drop[i] === 0) flags[i] |= FROM_PEER;
    }
    return networkMode[net];
  };
}
