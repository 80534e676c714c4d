import { PerformanceObserver } from 'node:perf_hooks';
import { getHeapStatistics } from 'node:v8';

export interface HeapGrowth {
  /** Bytes of V8 heap in use, after less before. */
  usedBytes: number;
  mallocedBytes: number;
  externalBytes: number;
  /** Collections within the work: after one, growth says too little. */
  collections: number;
}

/** What a piece of work leaves on the heap of this thread. */
export async function measureHeap(work: () => void): Promise<HeapGrowth> {
  const collectedAt: number[] = [];
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) collectedAt.push(entry.startTime);
  });
  observer.observe({ entryTypes: ['gc'] });
  // Twice: the first pass lets everything grow that grows once.
  let growth: HeapGrowth | null = null;
  for (let pass = 0; pass < 2; pass++) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    const from = performance.now();
    const before = getHeapStatistics();
    work();
    const after = getHeapStatistics();
    const to = performance.now();
    await new Promise((resolve) => setTimeout(resolve, 20));
    growth = {
      usedBytes: after.used_heap_size - before.used_heap_size,
      mallocedBytes: after.malloced_memory - before.malloced_memory,
      externalBytes: after.external_memory - before.external_memory,
      collections: collectedAt.filter((at) => at >= from && at <= to).length,
    };
  }
  observer.disconnect();
  return growth as HeapGrowth;
}
