// Many UDP flows of numbered packets, fast: the addon's own sockets. Runs inside a namespace.
//
//   node sequenced.mjs receive ADDRESS PORT       "ready", then a report once nothing came for a while
//   node sequenced.mjs send ADDRESS PORT FLOWS PACKETS_A_SECOND MILLISECONDS [FIRST_PORT]       { sent }
//
// A packet says which flow it is of and its number in it, from 0. The report: packets, how many came twice, how many after one that was sent
// later, what the receiving socket itself lost, and for how long flows stood still: the worst, and the worst moment of the middle flow.
import { tun } from '../../dist/native/tun.js';
import { IO_LAYOUT, IO_WORDS } from '../../dist/packet/outbox.js';

const [role, address, port, ...rest] = process.argv.slice(2);
const [flows, rate, durationMs, firstPort = 20_000] = rest.map(Number);
const print = (value) => process.stdout.write(`${typeof value === 'string' ? value : JSON.stringify(value)}\n`);
const addon = tun();
const STRIDE = 2048;
const BURST = IO_LAYOUT.burst;
const PAYLOAD = 100;
const QUIET_MS = 1500;
/** Packets of one flow in a row, so that they share a system call. */
const RUN = 8;

const arena = new Uint8Array(new SharedArrayBuffer(4096 * STRIDE));
const view = new DataView(arena.buffer);
const io = new Int32Array(new SharedArrayBuffer(IO_WORDS * 4));
const bytesOf = (text) => text.split('.').map(Number);

function receive() {
  const { fd } = addon.udpOpen({ family: 4, address, port: Number(port), rcvbuf: 1 << 26, rxqOvfl: true });
  const rx = addon.bindUdpRx(arena, io, IO_LAYOUT, fd);
  const poll = addon.bindPoll(io, IO_LAYOUT, IO_LAYOUT.ready, 4);
  poll.add(fd, 1);
  for (let i = 0; i < BURST; i++) {
    io[IO_LAYOUT.rxAt + i] = i * STRIDE;
    io[IO_LAYOUT.rxCap + i] = STRIDE;
  }
  const seen = new Map();
  const report = { packets: 0, twice: 0, late: 0, lostHere: 0, longestGapMs: 0, middleGapMs: 0 };
  const take = (flow, number, isLast, now) => {
    let one = seen.get(flow);
    if (one === undefined) {
      one = { last: -1, at: now, gapMs: 0, numbers: new Set() };
      seen.set(flow, one);
    }
    if (one.numbers.has(number)) report.twice++;
    else report.packets++;
    if (number < one.last) report.late++;
    else one.last = number;
    if (!isLast) one.gapMs = Math.max(one.gapMs, now - one.at);
    one.at = now;
    one.numbers.add(number);
  };
  print('ready');
  let heardAt = Number.POSITIVE_INFINITY;
  while (performance.now() - heardAt < QUIET_MS) {
    poll.wait(100_000);
    for (let n = rx(BURST); n > 0; n = rx(BURST)) {
      heardAt = performance.now();
      for (let i = 0; i < n; i++) {
        const at = i * STRIDE;
        take(view.getUint32(at), view.getUint32(at + 4), view.getUint32(at + 8) === 1, heardAt);
      }
    }
  }
  const gaps = [...seen.values()].map(({ gapMs }) => Math.round(gapMs)).sort((x, y) => x - y);
  report.longestGapMs = gaps.at(-1) ?? 0;
  report.middleGapMs = gaps[gaps.length >> 1] ?? 0;
  report.lostHere = io[IO_LAYOUT.counters];
  print(report);
  poll.close();
  addon.close(fd);
}

function send() {
  const sockets = Array.from(
    { length: flows },
    (_, k) => addon.udpOpen({ family: 4, address: '0.0.0.0', port: firstPort + k, sndbuf: 1 << 22, sink: true }).fd,
  );
  const destinations = new Int32Array(new SharedArrayBuffer(32));
  destinations[0] = 4;
  destinations[1] = Number(port);
  new Uint8Array(destinations.buffer).set(bytesOf(address), 8);
  const tx = addon.bindUdpTx(arena, io, IO_LAYOUT, sockets, destinations);
  const next = new Array(flows).fill(0);
  let sent = 0;
  let flow = 0;
  const sendRun = (count, isLast = 0) => {
    for (let m = 0; m < count; m++) {
      view.setUint32(m * STRIDE, firstPort + flow);
      view.setUint32(m * STRIDE + 4, next[flow] + m);
      view.setUint32(m * STRIDE + 8, isLast);
      io[IO_LAYOUT.msgFirst + m] = m;
      io[IO_LAYOUT.msgCount + m] = 1;
      io[IO_LAYOUT.msgDest + m] = 0;
      io[IO_LAYOUT.msgSocket + m] = flow;
      io[IO_LAYOUT.msgGso + m] = 0;
      io[IO_LAYOUT.msgTos + m] = -1;
      io[IO_LAYOUT.extAt + m] = m * STRIDE;
      io[IO_LAYOUT.extLen + m] = PAYLOAD;
    }
    const went = tx(0, count);
    if (went > 0) {
      next[flow] += went;
      sent += went;
    }
    flow = (flow + 1) % flows;
  };
  const pause = new Int32Array(new SharedArrayBuffer(4));
  const from = performance.now();
  for (let now = from; now - from < durationMs; now = performance.now()) {
    // What is due; after a pause of this process at most as much as the queues of a device hold.
    const due = Math.min(((now - from) * rate) / 1000 - sent, 256);
    if (due < RUN) Atomics.wait(pause, 0, 0, 1);
    else for (let left = due; left >= RUN; left -= RUN) sendRun(RUN);
  }
  // Sockets tell what they lost with a packet that comes in later.
  for (let round = 0; round < 2; round++) {
    Atomics.wait(pause, 0, 0, 600);
    for (let k = 0; k < flows; k++) sendRun(1, 1);
  }
  for (const fd of sockets) addon.close(fd);
  print({ sent });
}

({ receive, send })[role]();
