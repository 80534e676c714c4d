/*
 * Runs of plain records of capture files, in AssemblyScript over the arena: records of a file's piece to lanes, messages to records of a
 * file's piece. What is not plain it leaves to the form in TypeScript (captureInput.ts, captureOutput.ts).
 *
 *   in    | record | record | rec       a piece of the file
 *              |        |
 *              v        v
 *         slot 0     slot 1   ...       the rx window: lane i lies in slot i
 *              |        |
 *   out   | record | record |           extents of a message, joined
 *
 * Why: a record has a header of 16 to 32 bytes and often no more than 64 of data. A copy by subarray and set costs 120 ns in V8; here a record
 * takes 8 ns to read and as many to write.
 *
 * A time is one 64-bit word: seconds since 1970 in its upper half, nanoseconds in its lower. As words: [nanoseconds, seconds].
 */

// Byte offsets of lane columns from the first (packet/burst.ts); a column is 256 bytes.
const SLOT: usize = 0;
const AT: usize = 1 * 256;
const LEN: usize = 2 * 256;
const PACKETS: usize = 3 * 256;
const GSO_TYPE: usize = 4 * 256;
const FLAGS: usize = 8 * 256;
const DROP: usize = 9 * 256;

/** Bytes of a slot and in front of its frame (packet/arena.ts). */
const STRIDE: u32 = 65856;
const BEFORE: u32 = 448;
const LANES: u32 = 64;
const NANOS: u64 = 1_000_000_000;

// State of a reader or writer, in bytes.
const PIECE_AT: usize = 0;
const PIECE_END: usize = 4;
const LAST: usize = 8;
const BOUND: usize = 16;

let lanes: usize = 0;
let windowAt: u32 = 0;
let firstSlot: i32 = 0;
/** By lane: the time of its record (64 bits) and the interface that it stood at. */
let times: usize = 0;
let sources: usize = 0;
/** By interface of the file that is read: nanoseconds of a tick, 0 for one that is not plain. */
let tickNanos: usize = 0;

let messages: usize = 0;
let counts: usize = 0;
let results: usize = 0;
let extents: usize = 0;
let lengths: usize = 0;

export function bindLanes(first: usize, windowStart: u32, slot: i32, timesAt: usize, sourcesAt: usize, ticksAt: usize): void {
  lanes = first;
  windowAt = windowStart - BEFORE;
  firstSlot = slot;
  times = timesAt;
  sources = sourcesAt;
  tickNanos = ticksAt;
}

export function bindMessages(first: usize, count: usize, result: usize, extAt: usize, extLen: usize): void {
  messages = first;
  counts = count;
  results = result;
  extents = extAt;
  lengths = extLen;
}

/** Copies up to 15 bytes too many: whatever lies behind source and target must be there, and be nobody's. */
@inline
function copyLoose(to: usize, from: usize, bytes: i32): void {
  if (bytes > 256) {
    memory.copy(to, from, <usize>bytes);
    return;
  }
  const end = from + <usize>bytes;
  while (from < end) {
    v128.store(to, v128.load(from));
    from += 16;
    to += 16;
  }
}

@inline
function fillLane(lane: i32, from: usize, bytes: i32, time: u64, source: i32): void {
  const p = lanes + (<usize>lane << 2);
  const to = <usize>(windowAt + BEFORE + <u32>lane * STRIDE);
  copyLoose(to, from, bytes);
  store<i32>(p, firstSlot + lane, SLOT);
  store<i32>(p, <i32>to, AT);
  store<i32>(p, bytes, LEN);
  store<i32>(p, 1, PACKETS);
  store<i32>(p, 0, GSO_TYPE);
  store<i32>(p, 0, FLAGS);
  store<i32>(p, 0, DROP);
  store<u64>(times + (<usize>lane << 3), time);
  store<i32>(sources + (<usize>lane << 2), source);
}

/**
 * Records of a little-endian pcap file to lanes from `lane` on; returns the lane behind the last. Ends before the first record that is cut,
 * odd, longer than a slot, not whole in the piece, or due at the bound or later. A record that is older than the one before it is due
 * at once.
 */
export function fillPcap(state: usize, lane: i32, lanesEnd: i32, fractionNanos: i32, capacity: i32, source: i32): i32 {
  let at: usize = load<u32>(state, PIECE_AT);
  const end: usize = load<u32>(state, PIECE_END);
  let last = load<u64>(state, LAST);
  const bound = load<u64>(state, BOUND);
  const fractionEnd: u32 = 1_000_000_000 / <u32>fractionNanos;
  for (; lane < lanesEnd && end - at >= 16; lane++) {
    const fraction = load<u32>(at, 4);
    const bytes = load<i32>(at, 8);
    if (fraction >= fractionEnd || bytes < 0 || bytes > capacity || bytes != load<i32>(at, 12)) break;
    if (end - at - 16 < <usize>bytes) break;
    const time = (<u64>load<u32>(at) << 32) | <u64>(fraction * <u32>fractionNanos);
    const due = time > last ? time : last;
    if (due >= bound) break;
    last = due;
    fillLane(lane, at + 16, bytes, time, source);
    at += 16 + <usize>bytes;
  }
  store<u32>(state, <u32>at, PIECE_AT);
  store<u64>(state, last, LAST);
  return lane;
}

/** The same for enhanced packet blocks of a little-endian pcapng file; one with options is not plain. `first`: source number of interface 0. */
export function fillPcapng(state: usize, lane: i32, lanesEnd: i32, interfaces: u32, capacity: i32, first: i32): i32 {
  let at: usize = load<u32>(state, PIECE_AT);
  const end: usize = load<u32>(state, PIECE_END);
  let last = load<u64>(state, LAST);
  const bound = load<u64>(state, BOUND);
  for (; lane < lanesEnd && end - at >= 32; lane++) {
    const bytes = load<i32>(at, 20);
    const block = load<u32>(at, 4);
    if (load<u32>(at) != 6 || bytes < 0 || bytes > capacity || bytes != load<i32>(at, 24)) break;
    if (block != 32 + ((<u32>bytes + 3) & ~3) || end - at < <usize>block) break;
    if (load<u32>(at + <usize>block - 4) != block) break;
    const id = load<u32>(at, 8);
    if (id >= interfaces) break;
    const nanos = load<u32>(tickNanos + (<usize>id << 2));
    if (nanos == 0) break;
    const ticks = (<u64>load<u32>(at, 12) << 32) | <u64>load<u32>(at, 16);
    const perSecond = nanos == 1 ? NANOS : 1_000_000;
    const seconds = ticks / perSecond;
    if (seconds > 0xffffffff) break;
    const time = (seconds << 32) | ((ticks - seconds * perSecond) * nanos);
    const due = time > last ? time : last;
    if (due >= bound) break;
    last = due;
    fillLane(lane, at + 28, bytes, time, first + id);
    at += <usize>block;
  }
  store<u32>(state, <u32>at, PIECE_AT);
  store<u64>(state, last, LAST);
  return lane;
}

/** Lane in whose slot the message's last extent lies; -1 for what the node made itself. */
@inline
function laneAt(message: i32): i32 {
  const m = <usize>message << 2;
  const last = load<u32>(messages + m) + load<u32>(counts + m) - 1;
  const lane = (load<u32>(extents + (<usize>last << 2)) - windowAt) / STRIDE;
  return lane < LANES ? <i32>lane : -1;
}

export function laneOf(message: i32): i32 {
  return laneAt(message);
}

@inline
function bytesOf(e: usize, end: usize): i32 {
  let bytes = load<i32>(lengths + e);
  for (e += 4; e < end; e += 4) bytes += load<i32>(lengths + e);
  return bytes;
}

@inline
function gatherLoose(e: usize, end: usize, to: usize): void {
  for (; e < end; e += 4) {
    const bytes = load<i32>(lengths + e);
    copyLoose(to, <usize>load<u32>(extents + e), bytes);
    to += <usize>bytes;
  }
}

/** Joins the extents of a message at `to`, where there is room for 15 bytes more; returns their bytes. */
export function gather(message: i32, to: usize): i32 {
  const m = <usize>message << 2;
  const e = <usize>load<u32>(messages + m) << 2;
  const end = e + (<usize>load<u32>(counts + m) << 2);
  gatherLoose(e, end, to);
  return bytesOf(e, end);
}

/** Bytes of a message. */
export function messageBytes(message: i32): i32 {
  const m = <usize>message << 2;
  const e = <usize>load<u32>(messages + m) << 2;
  return bytesOf(e, e + (<usize>load<u32>(counts + m) << 2));
}

/**
 * Messages from..end as records of a pcap file; returns the first that the piece has no room for. Messages of no lane have the time of
 * lane `spare`.
 */
export function writePcap(state: usize, from: i32, end: i32, fractionNanos: u32, spare: i32): i32 {
  let at: usize = load<u32>(state, PIECE_AT);
  const room: usize = load<u32>(state, PIECE_END);
  for (; from < end; from++) {
    const m = <usize>from << 2;
    const e = <usize>load<u32>(messages + m) << 2;
    const eEnd = e + (<usize>load<u32>(counts + m) << 2);
    const bytes = bytesOf(e, eEnd);
    if (at + 16 + <usize>bytes > room) break;
    const lane = laneAt(from);
    const time = load<u64>(times + (<usize>(lane < 0 ? spare : lane) << 3));
    store<u32>(at, <u32>(time >> 32));
    store<u32>(at, fractionNanos == 1 ? <u32>time : <u32>time / 1000, 4);
    store<i32>(at, bytes, 8);
    store<i32>(at, bytes, 12);
    gatherLoose(e, eEnd, at + 16);
    store<i32>(results + m, bytes);
    at += 16 + <usize>bytes;
  }
  store<u32>(state, <u32>at, PIECE_AT);
  return from;
}

/** The same as enhanced packet blocks of interface `id`, without options. */
export function writePcapng(state: usize, from: i32, end: i32, tick: u32, spare: i32, id: i32): i32 {
  let at: usize = load<u32>(state, PIECE_AT);
  const room: usize = load<u32>(state, PIECE_END);
  for (; from < end; from++) {
    const m = <usize>from << 2;
    const e = <usize>load<u32>(messages + m) << 2;
    const eEnd = e + (<usize>load<u32>(counts + m) << 2);
    const bytes = bytesOf(e, eEnd);
    const block = 32 + ((bytes + 3) & ~3);
    if (at + <usize>block > room) break;
    const lane = laneAt(from);
    const time = load<u64>(times + (<usize>(lane < 0 ? spare : lane) << 3));
    const perSecond: u64 = tick == 1 ? NANOS : 1_000_000;
    const fraction = tick == 1 ? <u32>time : <u32>time / 1000;
    const ticks = (time >> 32) * perSecond + <u64>fraction;
    store<u32>(at, 6);
    store<i32>(at, block, 4);
    store<i32>(at, id, 8);
    store<u32>(at, <u32>(ticks >> 32), 12);
    store<u32>(at, <u32>ticks, 16);
    store<i32>(at, bytes, 20);
    store<i32>(at, bytes, 24);
    gatherLoose(e, eEnd, at + 28);
    store<u32>(at + 28 + <usize>bytes, 0);
    store<i32>(at + <usize>block - 4, block);
    store<i32>(results + m, bytes);
    at += <usize>block;
  }
  store<u32>(state, <u32>at, PIECE_AT);
  return from;
}
