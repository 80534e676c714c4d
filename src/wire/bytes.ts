/*
 * Integers in byte arrays. Network protocols are big-endian; the little-endian forms are for capture files.
 *
 * Values are composed from bytes: a DataView per call would be an allocation, and V8 merges these loads well enough for the
 * slow paths that wire/ serves (the burst steps of tunnel/ read whole words instead).
 *
 * A 32-bit field is a *signed* integer everywhere in wire/ unless its getter says otherwise: Node boxes a number above 2^31
 * whenever it crosses a function that is not inlined, and a boxed number is an allocation. Compare such values only with each
 * other, add with `| 0`, and print with `>>> 0`.
 */

// Reading, big-endian

export function get16(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 8) | bytes[at + 1];
}

export function get24(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 16) | (bytes[at + 1] << 8) | bytes[at + 2];
}

/** Signed: see the head of this file. */
export function get32(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3];
}

/** Unsigned, for lengths and sizes that are compared with limits. */
export function getU32(bytes: Uint8Array, at: number): number {
  return get32(bytes, at) >>> 0;
}

// Reading, little-endian

export function getLe16(bytes: Uint8Array, at: number): number {
  return bytes[at] | (bytes[at + 1] << 8);
}

/** Unsigned, for lengths and sizes that are compared with limits. */
export function getLeU32(bytes: Uint8Array, at: number): number {
  return (bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24)) >>> 0;
}

// Reading in the byte order that a file's header names

export function getOrdered16(bytes: Uint8Array, at: number, little: boolean): number {
  return little ? getLe16(bytes, at) : get16(bytes, at);
}

/** Unsigned. */
export function getOrderedU32(bytes: Uint8Array, at: number, little: boolean): number {
  return little ? getLeU32(bytes, at) : getU32(bytes, at);
}

// Writing, big-endian; a value is cut to the field

export function set16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

export function set24(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 16;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value;
}

/** Takes signed and unsigned values alike. */
export function set32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

// Writing, little-endian

export function setLe16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
}

/** Takes signed and unsigned values alike. */
export function setLe32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value >>> 16;
  bytes[at + 3] = value >>> 24;
}

// Short runs of bytes: addresses and options. Uint8Array.set needs a subarray, which is an object; payloads are never copied.

/** Copies `len` bytes upwards, so overlapping runs are safe only when `to` lies below `from`. */
export function copy(to: Uint8Array, toAt: number, from: Uint8Array, fromAt: number, len: number): void {
  for (let i = 0; i < len; i++) to[toAt + i] = from[fromAt + i];
}

export function fill(bytes: Uint8Array, at: number, len: number, value: number): void {
  for (let i = 0; i < len; i++) bytes[at + i] = value;
}

export function equal(a: Uint8Array, aAt: number, b: Uint8Array, bAt: number, len: number): boolean {
  for (let i = 0; i < len; i++) if (a[aAt + i] !== b[bAt + i]) return false;
  return true;
}
