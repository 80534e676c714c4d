/*
 * A stream of bytes that comes in chunks of any size, read in pieces that lie whole, in constant memory.
 *
 *   chunk  |..piece..|..piece..|..pie|      a piece that lies whole in a chunk is read where it lies;
 *   carry                      |..pie|ce..|   one that does not is put together in the stream's own buffer
 */
export class ChunkStream {
  /** Where the needed piece lies. */
  bytes: Uint8Array = new Uint8Array(0);
  at = 0;
  /** Bytes taken and skipped since the start of the stream. */
  position = 0;

  #chunk: Uint8Array = new Uint8Array(0);
  #chunkAt = 0;
  readonly #carry: Uint8Array;
  #carried = 0;
  #skip = 0;

  constructor(pieceBytesMax: number) {
    this.#carry = new Uint8Array(pieceBytesMax);
  }

  /** Takes the next chunk, when the one before is used up. It must stay unchanged until it is used up itself. */
  feed(chunk: Uint8Array): void {
    if (this.#chunkAt !== this.#chunk.length) throw new RangeError('feed: the chunk before this one is not used up');
    this.#chunk = chunk;
    this.#chunkAt = 0;
  }

  /**
   * Makes a piece of `n` bytes lie whole at `bytes[at]`; false when it has not come yet. A reader that learns the length of a piece
   * from its start needs the start first, then all of it, and takes all; when more has come, it begins again with the start.
   */
  need(n: number): boolean {
    const there = this.#chunk.length - this.#chunkAt;
    if (this.#carried === 0 && there >= n) {
      this.bytes = this.#chunk;
      this.at = this.#chunkAt;
      return true;
    }
    const more = Math.max(0, Math.min(n - this.#carried, there));
    this.#carry.set(this.#chunk.subarray(this.#chunkAt, this.#chunkAt + more), this.#carried);
    this.#carried += more;
    this.#chunkAt += more;
    this.bytes = this.#carry;
    this.at = 0;
    return this.#carried >= n;
  }

  /** Uses up the piece of `n` bytes that was needed, the most since the last `take`. It stays readable until the next `need`. */
  take(n: number): void {
    if (this.#carried === 0) this.#chunkAt += n;
    this.#carried = 0;
    this.position += n;
  }

  /** Passes over the next `n` bytes, as `skipped` finds them. */
  skip(n: number): void {
    this.#skip = n;
  }

  /** All bytes to be skipped are; false when they go on in the next chunk. */
  skipped(): boolean {
    const there = Math.min(this.#skip, this.#chunk.length - this.#chunkAt);
    this.#chunkAt += there;
    this.position += there;
    this.#skip -= there;
    return this.#skip === 0;
  }

  /** Where the next piece begins in the chunk, for one who reads there by himself; -1 when it has begun, or lies behind bytes to be skipped. */
  get runAt(): number {
    return this.#carried > 0 || this.#skip > 0 ? -1 : this.#chunkAt;
  }

  /** Where the chunk ends. */
  get runEnd(): number {
    return this.#chunk.length;
  }

  /** Uses up `n` bytes that were read from `runAt` on. */
  pass(n: number): void {
    this.#chunkAt += n;
    this.position += n;
  }

  /** When the last chunk is used up: a piece was begun, or bytes to be skipped have not come. */
  get unfinished(): boolean {
    return this.#carried > 0 || this.#skip > 0;
  }
}
