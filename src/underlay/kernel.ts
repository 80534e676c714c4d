/** The plain case of outer headers, as the kernel of the way in does it (pipeline/inbound.as.ts). */
export interface OuterKernel {
  /** Checks lanes 0..n; returns the number of lanes that `careful` then names, for outer.ts. `from` is set for all. */
  outer(this: void, n: number): number;
  /** [ own IPv4 address | number of ports | port, kind number... ], address and ports as they lie in memory. No ports: no lane is plain. */
  readonly rules: Int32Array;
}

/** Ports that `rules` has room for. */
export const RULE_PORTS_MAX = 16;
export const RULE_WORDS = 2 + RULE_PORTS_MAX * 2;
