// A process whose workers poll, one of them the only user of the addon. Argument: how it ends.
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

const require = createRequire(import.meta.url);
const load = () => require('../../native/tun/weft_tun.node');

if (isMainThread) {
  const [, , ending] = process.argv;
  const start = () =>
    new Promise((resolve) => {
      const worker = new Worker(fileURLToPath(import.meta.url), { workerData: { waits: true } });
      worker.once('message', () => resolve(worker));
    });
  if (ending === 'workersOnly') {
    // The addon is loaded and left by one worker after the other and never by the main thread.
    for (let i = 0; i < 3; i++) {
      const worker = await start();
      await worker.terminate();
    }
    console.log('over');
  } else {
    const addon = load();
    await start();
    console.log('polling');
    if (ending === 'exit') setTimeout(() => process.exit(3), 50);
    if (ending === 'throw')
      setTimeout(() => {
        throw new Error('as asked');
      }, 50);
    if (ending === 'signal') setInterval(() => addon.monotonicNs(), 10);
  }
} else if (workerData.waits) {
  const addon = load();
  const io = new Int32Array(new SharedArrayBuffer(256));
  const poll = addon.bindPoll(io, { clock: 0 }, 8, 8);
  poll.add(addon.eventfd(), -1);
  parentPort.postMessage('up');
  for (;;) poll.wait(1e6);
}
