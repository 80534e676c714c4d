import type { Burst } from '../packet/burst.js';
import type { Port } from '../port/port.js';
import type { Outer, OuterRules } from './outer.js';
import type { FrameUnderlay } from './underlay.js';

/**
 * A frame underlay: whole outer frames (Ethernet, IP, UDP) through a device that is a port like any other: memory, capture, later DPDK.
 *
 * rx checks the outer headers once and leaves the lanes at the tunnel header, where decap goes on as for a socket. One that takes every tunnel
 * off (popDepth) leaves them at the Ethernet header: pipeline/pop.ts goes on.
 */
export interface FrameUnderlayOptions {
  id: number;
  name: string;
  device: Port;
  rules: OuterRules;
  tos: number;
  deliverOffloadLeak: boolean;
  popDepth: number;
}

export function bindFrameUnderlays(burst: Burst, outer: Outer) {
  const { drop, from } = burst;

  function checkBurst(n: number, rules: OuterRules): void {
    for (let i = 0; i < n; i++) {
      from[i] = i;
      if (drop[i] === 0) drop[i] = outer.check(i, rules);
    }
  }

  return function openFrameUnderlay(options: FrameUnderlayOptions): FrameUnderlay {
    const { device, rules, popDepth } = options;
    let received = 0;
    return {
      kind: 'frame',
      id: options.id,
      name: options.name,
      tos: options.tos,
      deliverOffloadLeak: options.deliverOffloadLeak,
      rules,
      popDepth,
      rx() {
        received = device.rx();
        return received;
      },
      hasMore: device.hasMore,
      nextLanes() {
        const n = received;
        received = 0;
        if (popDepth === 0) checkBurst(n, rules);
        return n;
      },
      tx: (n) => device.tx(n),
      release: (n) => device.release(n),
      close: () => device.close(),
    };
  };
}
