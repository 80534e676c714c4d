const CLOCK_INTERVAL_MS = 5;

/** Writes the time where the workers read it, as a native poll would do at each turn. */
export function startClock(): { words: SharedArrayBuffer; stop: () => void } {
  const words = new SharedArrayBuffer(8);
  const clock = new Int32Array(words);
  const tick = () => {
    const millis = Math.floor(performance.now()) + 60_000;
    clock[1] = millis;
    clock[0] = Math.floor(millis / 1000);
  };
  tick();
  const timer = setInterval(tick, CLOCK_INTERVAL_MS);
  return { words, stop: () => clearInterval(timer) };
}
