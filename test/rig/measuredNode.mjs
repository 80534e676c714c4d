// `weft up CONFIG` that tells of itself: at SIGUSR2, after a full garbage collection of the main thread, it prints a line `measured JSON` with
// bytes of heap, external and resident memory, and numbers of descriptors and threads.
import { readdirSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc');
const count = (folder) => readdirSync(folder).length;
process.on('SIGUSR2', () => {
  collect();
  const { heapUsed, external, rss } = process.memoryUsage();
  const [descriptors, threads] = [count('/proc/self/fd'), count('/proc/self/task')];
  console.log(`measured ${JSON.stringify({ heapUsed, external, rss, descriptors, threads })}`);
});
await import('../../dist/cli/main.js');
