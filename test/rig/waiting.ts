// Waiting for something to become true, with a limit.

export const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Asks until the answer is neither undefined nor false, and returns it; throws, with what was awaited, when it takes too long. */
export async function until<T>(
  what: string,
  ask: () => T | Promise<T>,
  { withinMs = 30_000, everyMs = 20 } = {},
): Promise<Exclude<T, undefined | false>> {
  const end = performance.now() + withinMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== false) return answer as Exclude<T, undefined | false>;
    if (performance.now() > end) throw new Error(`not within ${withinMs} ms: ${what}`);
    await sleep(everyMs);
  }
}
