// A worker that binds everything and then does what its mode says. It stops for nobody: that is the test's business.
import { createRequire } from 'node:module';
import { parentPort, workerData } from 'node:worker_threads';

const { memory, io, layout, ready, destinations, doorbell, socket, mode } = workerData;
const addon = createRequire(import.meta.url)('../../native/tun/weft_tun.node');
const arena = new Uint8Array(memory.buffer);
const poll = addon.bindPoll(io, layout, ready, 8);
if (doorbell !== undefined) poll.add(doorbell, -1);
poll.add(socket, 0);
const udpRx = addon.bindUdpRx(arena, io, layout, socket);
const udpTx = addon.bindUdpTx(arena, io, layout, [socket], destinations);
const tapRx = addon.bindTapRx(arena, io, layout, socket, 0, 12);
const tapTx = addon.bindTapTx(arena, io, layout, socket);
const errors = addon.bindErrorQueue(arena, io, layout, [socket]);
globalThis.kept = [tapRx, tapTx];

parentPort.postMessage('bound');
switch (mode) {
  case 'busy':
    for (;;) {
      udpRx(16);
      udpTx(0, 4);
      errors();
      poll.wait(0);
    }
  case 'blocked':
    // Nothing but waits: V8 has no other chance to see a termination than the addon's answer.
    for (;;) poll.wait(1e6);
  case 'oneWait': {
    const start = performance.now();
    const count = poll.wait(1e6);
    parentPort.postMessage({ count, waitedMs: performance.now() - start });
    break;
  }
  case 'throws':
    // Later, or the message above may be lost with the worker.
    setTimeout(() => {
      throw new Error('as asked');
    }, 5);
    break;
  case 'echo':
    for (;;) {
      if (poll.wait(1e6) < 0) break;
      const n = udpRx(1);
      if (n === 1) parentPort.postMessage({ bytes: io[layout.rxLen], at: io[layout.rxAt] });
    }
    break;
  default:
    parentPort.ref();
    parentPort.on('message', () => {});
}
