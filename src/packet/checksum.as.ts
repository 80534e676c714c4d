/*
 * The checksum kernel, in AssemblyScript: TypeScript's syntax, compiled to WebAssembly with 128-bit SIMD.
 *
 * It works on the imported shared memory that is the arena, and has no data of its own: page 0 stays untouched. Positions and
 * lengths are not checked here; an access outside the memory traps.
 */

// 64 bytes a turn add at most 2 * 0xffff to each of 16 lanes of 32 bits, which overflow after 32,768 turns.
const RUN_BYTES: i32 = 64 * 32768;

/**
 * RFC 1071 sum of `len` bytes at `at`, folded to 16 bits and not inverted, over words *as they lie in memory*, which is
 * little-endian: the first byte of a pair is the low one, and an odd last byte is a low byte. RFC 1071 section 2(B) makes the
 * result the byte-swapped sum in network order. Stored little-endian, its complement is the right field without a swap.
 */
export function sum(at: i32, len: i32): i32 {
  let total: u64 = 0;
  while (len >= 64) {
    const runEnd = at + (len < RUN_BYTES ? len & ~63 : RUN_BYTES);
    len -= runEnd - at;
    total += sumRun(at, runEnd);
    at = runEnd;
  }
  // Below 64 bytes the words are added by eights: 0xffff_ffff in each addend leaves room for the few there can be.
  while (len >= 8) {
    const word = load<u64>(at);
    total += (word & 0xffff_ffff) + (word >>> 32);
    at += 8;
    len -= 8;
  }
  if (len & 4) {
    total += load<u32>(at);
    at += 4;
  }
  if (len & 2) {
    total += load<u16>(at);
    at += 2;
  }
  if (len & 1) total += load<u8>(at);
  total = (total & 0xffff_ffff) + (total >>> 32);
  total = (total & 0xffff_ffff) + (total >>> 32);
  let folded = ((total as u32) & 0xffff) + ((total as u32) >>> 16);
  folded = (folded & 0xffff) + (folded >>> 16);
  return folded as i32;
}

/** Four accumulators, because one would wait for its own last addition. */
function sumRun(at: i32, end: i32): u64 {
  let a = i32x4.splat(0);
  let b = i32x4.splat(0);
  let c = i32x4.splat(0);
  let d = i32x4.splat(0);
  for (; at < end; at += 64) {
    a = i32x4.add(a, i32x4.extadd_pairwise_i16x8_u(v128.load(at, 0)));
    b = i32x4.add(b, i32x4.extadd_pairwise_i16x8_u(v128.load(at, 16)));
    c = i32x4.add(c, i32x4.extadd_pairwise_i16x8_u(v128.load(at, 32)));
    d = i32x4.add(d, i32x4.extadd_pairwise_i16x8_u(v128.load(at, 48)));
  }
  const low = i64x2.add(
    i64x2.add(i64x2.extend_low_i32x4_u(a), i64x2.extend_low_i32x4_u(b)),
    i64x2.add(i64x2.extend_low_i32x4_u(c), i64x2.extend_low_i32x4_u(d)),
  );
  const high = i64x2.add(
    i64x2.add(i64x2.extend_high_i32x4_u(a), i64x2.extend_high_i32x4_u(b)),
    i64x2.add(i64x2.extend_high_i32x4_u(c), i64x2.extend_high_i32x4_u(d)),
  );
  const all = i64x2.add(low, high);
  return (i64x2.extract_lane(all, 0) + i64x2.extract_lane(all, 1)) as u64;
}

/** Moves `len` bytes; the ranges may overlap. */
export function copy(to: i32, from: i32, len: i32): void {
  memory.copy(to, from, len);
}
