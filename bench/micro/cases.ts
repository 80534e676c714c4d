/** One case of a suite: a function whose call does `operations` of them. */
export interface Case {
  name: string;
  operations: number;
  run: () => unknown;
}

/** Operations of a call, where one takes nanoseconds: the call itself is then nothing. */
export const MANY = 1000;

/** Keeps results alive, so that no compiler leaves the work out. */
export const sink = { value: 0 };
