/**
 * Packets of a capture file one by one, with a few of them ahead, in constant memory.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { WeftError } from '../packet/error.js';
import { CaptureError, CaptureReader } from '../wire/capture.js';

export interface CapturedPacket {
  /** Position in the file, from 1. */
  readonly number: number;
  readonly bytes: Uint8Array;
  readonly originalBytes: number;
  readonly seconds: number;
  readonly nanoseconds: number;
  readonly linkType: number;
  /** Name of its interface; null unless the file has several and names this one. */
  readonly interfaceName: string | null;
}

const CHUNK_BYTES = 1024 * 1024;

export class PacketSource {
  readonly file: string;
  /** Packets that `take` gave. */
  taken = 0;

  readonly #handle: FileHandle;
  readonly #reader = new CaptureReader();
  readonly #chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  readonly #ahead: CapturedPacket[] = [];
  #read = 0;
  #isAtEnd = false;
  #isEmpty = true;

  private constructor(file: string, handle: FileHandle) {
    this.file = file;
    this.#handle = handle;
  }

  static async open(file: string): Promise<PacketSource> {
    try {
      return new PacketSource(file, await open(file, 'r'));
    } catch (cause) {
      throw failed(file, cause);
    }
  }

  /** Reads until `count` packets lie ahead, or all that are left. */
  async fill(count: number): Promise<void> {
    while (this.#ahead.length < count && !this.#isAtEnd) {
      if (this.#next()) this.#ahead.push(this.#packet());
      else await this.#readChunk();
    }
  }

  /** How many packets lie ahead. */
  get ahead(): number {
    return this.#ahead.length;
  }

  /** The `i`th packet ahead, which `fill` has read. */
  peek(i: number): CapturedPacket {
    return this.#ahead[i];
  }

  /** Takes the next packet, which `fill` has read. */
  take(): CapturedPacket {
    this.taken++;
    return this.#ahead.shift() as CapturedPacket;
  }

  /** At the end: the file was cut off inside of a packet. */
  get isCutOff(): boolean {
    return this.#isAtEnd && this.#reader.truncated;
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }

  #next(): boolean {
    try {
      return this.#reader.next();
    } catch (cause) {
      throw failed(this.file, cause);
    }
  }

  async #readChunk(): Promise<void> {
    const { bytesRead } = await this.#handle.read(this.#chunk, 0, CHUNK_BYTES).catch((cause) => {
      throw failed(this.file, cause);
    });
    if (bytesRead > 0) {
      this.#isEmpty = false;
      this.#reader.feed(this.#chunk.subarray(0, bytesRead));
      return;
    }
    if (this.#isEmpty) throw failed(this.file, new Error('it is empty, and so no pcap or pcapng file'));
    this.#isAtEnd = true;
  }

  #packet(): CapturedPacket {
    const { bytes, dataAt, capturedBytes, originalBytes, seconds, nanoseconds, linkType } = this.#reader;
    const { interfaces, interfaceId } = this.#reader;
    const interfaceName = interfaces.length > 1 ? interfaces[interfaceId].name || null : null;
    return {
      number: ++this.#read,
      bytes: bytes.slice(dataAt, dataAt + capturedBytes),
      originalBytes,
      seconds,
      nanoseconds,
      linkType,
      interfaceName,
    };
  }
}

function failed(file: string, cause: unknown): WeftError {
  const { message, syscall, errno } = cause as NodeJS.ErrnoException;
  const why = cause instanceof CaptureError ? message : message.replace(/, (open|read).*$/, '');
  return new WeftError('CAPTURE', `${file} cannot be read: ${why}`, {
    object: file,
    cause,
    ...(syscall === undefined ? {} : { syscall, errno: Math.abs(errno ?? 0) }),
  });
}
