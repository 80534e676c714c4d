import { createUndo, type Undo } from '../../dist/cli/lab/undo.js';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * Runs a task that makes namespaces, devices and processes, and removes them whatever happens: at its end, when it fails, and on a signal,
 * which aborts what runs.
 */
export async function withCleanUp<T>(task: (undo: Undo, signal: AbortSignal) => Promise<T>): Promise<T> {
  const undo = createUndo();
  const stop = new AbortController();
  const onSignal = (signal: NodeJS.Signals) => stop.abort(new Error(`ended by ${signal}`));
  for (const signal of SIGNALS) process.on(signal, onSignal);
  try {
    return await task(undo, stop.signal);
  } catch (error) {
    throw stop.signal.aborted ? stop.signal.reason : error;
  } finally {
    const failures = await undo.run();
    for (const signal of SIGNALS) process.removeListener(signal, onSignal);
    for (const failure of failures) console.error(`not removed: ${failure}`);
  }
}
