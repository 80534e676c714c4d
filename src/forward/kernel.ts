/**
 * The plain cases of forwarding, as the walk's kernel does them (pipeline/walk.as.ts): each function handles the lanes that it can, names the
 * others in the burst's column `careful`, and returns how many those are.
 */
export interface ForwardKernel {
  /**
   * Hashes both MACs of each lane (srcEntry, dstEntry) and touches their entries: the loads of a whole burst overlap here, and learn and
   * lookup find them in the cache.
   */
  prefetch(this: void, n: number): void;
  learn(this: void, n: number, now: number): number;
  lookup(this: void, n: number, now: number): number;
}
