/*
 * The checksum kernel, in AssemblyScript: TypeScript's syntax, compiled to WebAssembly with 128-bit SIMD.
 *
 * It works on the imported shared memory that is the arena, and has no data of its own: page 0 stays untouched. Positions and
 * lengths are not checked here; an access outside the memory traps.
 */

/**
 * RFC 1071 sum of `len` bytes at `at`, folded to 16 bits and not inverted, over words *as they lie in memory*, which is
 * little-endian: the first byte of a pair is the low one, and an odd last byte is a low byte. RFC 1071 section 2(B) makes the
 * result the byte-swapped sum in network order. Stored little-endian, its complement is the right field without a swap.
 *
 * Words of 32 bits are added in lanes of 64, which cannot overflow, and the sum is folded at the end: 38 ns for 1400 bytes, 1.26 us
 * for 64,000. Adding 16-bit pairs (extadd_pairwise) is as fast but has to stop before its lanes overflow; more accumulators gain
 * nothing; one step a turn instead of four takes 44 ns and 1.66 us.
 */
export function sum(at: i32, len: i32): i32 {
  let lanes = i64x2.splat(0);
  const end16 = at + (len & ~15);
  const end64 = at + (len & ~63);
  while (at < end64) {
    lanes = i64x2.add(lanes, halves(v128.load(at, 0)));
    lanes = i64x2.add(lanes, halves(v128.load(at, 16)));
    lanes = i64x2.add(lanes, halves(v128.load(at, 32)));
    lanes = i64x2.add(lanes, halves(v128.load(at, 48)));
    at += 64;
  }
  while (at < end16) {
    lanes = i64x2.add(lanes, halves(v128.load(at)));
    at += 16;
  }
  let total: u64 = i64x2.extract_lane(lanes, 0) + i64x2.extract_lane(lanes, 1);
  if (len & 8) {
    total += load<u32>(at, 0);
    total += load<u32>(at, 4);
    at += 8;
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
  return fold(total);
}

/** Both 32-bit words of each 64-bit lane, added. */
// @ts-ignore: decorator
@inline
function halves(words: v128): v128 {
  return i64x2.add(v128.and(words, i64x2.splat(0xffff_ffff)), i64x2.shr_u(words, 32));
}

// @ts-ignore: decorator
@inline
function fold(total: u64): i32 {
  total = (total & 0xffff_ffff) + (total >>> 32);
  total = (total & 0xffff_ffff) + (total >>> 32);
  let sum = ((total as u32) & 0xffff) + ((total as u32) >>> 16);
  sum = (sum & 0xffff) + (sum >>> 16);
  return sum as i32;
}

/** Moves `len` bytes; the ranges may overlap. */
export function copy(to: i32, from: i32, len: i32): void {
  memory.copy(to, from, len);
}
