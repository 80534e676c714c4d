// A thread that sends its own slots through a device of DPDK and then only waits: dpdkExternal.test.ts ends it.
import { createRequire } from 'node:module';
import { parentPort, workerData } from 'node:worker_threads';

const dpdk = createRequire(import.meta.url)('../../native/dpdk/weft_dpdk.node');
const { request, io, layout, lanes, state, messages } = workerData;
const queue = dpdk.bindQueue(request, io, layout, lanes, state);
queue.spare(messages);
queue.tx(messages, 0);
parentPort.postMessage('sent');
setInterval(() => {}, 1000);
