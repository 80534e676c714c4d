// A thread that receives without end and sends some of it; the rest it holds when it is ended.
import { createRequire } from 'node:module';
import { parentPort, workerData } from 'node:worker_threads';

const addon = createRequire(import.meta.url)('../../native/dpdk/weft_dpdk.node');
const { request, io, layout, lanes, state } = workerData;
const { rx, tx, release } = addon.bindQueue(request, io, layout, lanes, state);
const at = new Int32Array(io.buffer, lanes.at, 64);
const len = new Int32Array(io.buffer, lanes.len, 64);
parentPort.postMessage('ready');
for (let burst = 0; ; burst++) {
  const n = rx();
  for (let i = 0; i < n; i++) {
    io[layout.msgFirst + i] = i;
    io[layout.msgCount + i] = 1;
    io[layout.extAt + i] = at[i];
    io[layout.extLen + i] = len[i];
  }
  tx(n >> 1, burst % 3 === 0 ? 1 : 0);
  for (let i = 0; i < n; i++) at[i] += 0;
  release(n);
}
