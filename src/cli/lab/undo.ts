/**
 * What is to be undone, last things first, whatever happens in between.
 */
type Step = (signal: AbortSignal) => unknown;

export interface Undo {
  add(step: Step): void;
  /** Forgets everything: it stays. */
  keep(): void;
  /** Runs every step, also after one failed; what failed. */
  run(): Promise<string[]>;
}

export function createUndo(): Undo {
  let steps: Step[] = [];
  return {
    add: (step) => steps.push(step),
    keep() {
      steps = [];
    },
    async run() {
      const failures: string[] = [];
      // Its own signal: the one that ended the lab must not end the cleaning.
      const { signal } = new AbortController();
      for (let step = steps.pop(); step; step = steps.pop()) {
        try {
          await step(signal);
        } catch (error) {
          failures.push((error as Error).message);
        }
      }
      return failures;
    },
  };
}
