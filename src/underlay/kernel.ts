/** The plain case of outer headers, as the kernel of the way in does it (pipeline/inbound.as.ts). */
export interface OuterKernel {
  /** Checks lanes 0..n; returns the number of lanes that `careful` then names, for outer.ts. `from` is set for all. */
  outer(this: void, n: number): number;
  /**
   * What of OuterRules counts here, RULE_* words; address and ports as they lie in memory. Without an address (all zero) no lane is plain.
   */
  readonly rules: Int32Array;
}

/** Ports that `rules` has room for. */
export const RULE_PORTS_MAX = 16;
export const RULE_GRE = 4;
export const RULE_IPIP = 5;
export const RULE_PORTS = 6;
/** Ports and their kinds, in turn. */
export const RULE_FIRST_PORT = 7;
export const RULE_WORDS = RULE_FIRST_PORT + RULE_PORTS_MAX * 2;
