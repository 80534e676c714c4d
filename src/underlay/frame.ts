import type { Burst } from '../packet/burst.js';
import { bswap16 } from '../packet/checksum.js';
import type { Port } from '../port/port.js';
import { type OuterKernel, RULE_PORTS_MAX } from './kernel.js';
import { IPV4_MAPPED, type Outer, type OuterRules } from './outer.js';
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

export function bindFrameUnderlays(burst: Burst, outer: Outer, kernel: OuterKernel) {
  const { drop, careful } = burst;
  /** Whose rules the kernel has. */
  let standing: OuterRules | null = null;

  function handOver({ address, ports, kinds }: OuterRules): void {
    const isV4 = address !== null && address[2] === IPV4_MAPPED;
    const count = isV4 && ports.length <= RULE_PORTS_MAX ? ports.length : 0;
    kernel.rules[0] = isV4 ? address[3] : 0;
    kernel.rules[1] = count;
    for (let p = 0; p < count; p++) {
      kernel.rules[2 + p * 2] = bswap16(ports[p]);
      kernel.rules[3 + p * 2] = kinds[p];
    }
  }

  function checkBurst(n: number, rules: OuterRules): void {
    if (rules !== standing) handOver(rules);
    standing = rules;
    const left = kernel.outer(n);
    for (let k = 0; k < left; k++) {
      const i = careful[k];
      drop[i] = outer.check(i, rules);
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
