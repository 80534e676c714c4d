import type { Burst } from '../packet/burst.js';
import { bswap16 } from '../packet/checksum.js';
import { DROP } from '../packet/drop.js';
import type { Port } from '../port/port.js';
import { type OuterKernel, RULE_FIRST_PORT, RULE_GRE, RULE_IPIP, RULE_PORTS, RULE_PORTS_MAX } from './kernel.js';
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

export function bindFrameUnderlays(burst: Burst, outer: Outer, kernel: OuterKernel) {
  const { drop, careful } = burst;
  /** Whose rules the kernel has. */
  let standing: OuterRules | null = null;
  let strangers = 0;
  const notForUs = DROP['not-for-us'];

  function handOver(rules: OuterRules): void {
    if (rules === standing) return;
    standing = rules;
    const words = kernel.rules;
    words.fill(0);
    if (rules.address !== null) words.set(rules.address);
    words[RULE_GRE] = rules.gre;
    words[RULE_IPIP] = rules.ipip;
    // What has no room is for the careful form.
    words[RULE_PORTS] = Math.min(rules.ports.length, RULE_PORTS_MAX);
    for (let p = 0; p < words[RULE_PORTS]; p++) {
      words[RULE_FIRST_PORT + p * 2] = bswap16(rules.ports[p]);
      words[RULE_FIRST_PORT + p * 2 + 1] = rules.kinds[p];
    }
  }

  function checkBurst(n: number, rules: OuterRules): void {
    handOver(rules);
    const left = kernel.outer(n);
    strangers = 0;
    for (let k = 0; k < left; k++) {
      const i = careful[k];
      drop[i] = outer.check(i, rules);
      if (drop[i] === notForUs) strangers++;
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
      handOver: () => handOver(rules),
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
      strangers: () => strangers,
      tx: (n) => device.tx(n),
      release: (n) => device.release(n),
      close: () => device.close(),
    };
  };
}
