/*
 * Reads capture files, pcap and pcapng, from chunks of any size, in constant memory.
 *
 *   for each chunk:  reader.feed(chunk);  while (reader.next()) use(reader.bytes, reader.dataAt, reader.capturedBytes, ...);
 *   at the end:      reader.truncated says whether the file was cut off
 *
 * The fields describe the current record and hold until the next call of `next` or `feed`; a chunk must stay unchanged as long.
 * The formats themselves: pcap.ts and pcapng.ts.
 */
import { get32, getOrdered16, getOrderedU32 } from './bytes.js';
import { type CaptureInterface, NO_OPTIONS, readInterface } from './captureInterface.js';
import { checkResolution, fromTicks, RESOLUTION_DEFAULT, time } from './captureTime.js';
import { ChunkStream } from './chunkStream.js';
import * as Pcap from './pcap.js';
import * as Pcapng from './pcapng.js';

/** The longest packet that is read, as in Wireshark. */
export const CAPTURED_BYTES_MAX = 262_144;
/** The longest block of a kind that is read; other kinds are skipped, however long. */
export const BLOCK_BYTES_MAX = CAPTURED_BYTES_MAX + 65_536;
export const INTERFACES_MAX = 4096;

export const FORMAT_UNKNOWN = 0;
export const FORMAT_PCAP = 1;
export const FORMAT_PCAPNG = 2;

// What reading a pcapng block came to
const NEED_MORE = 0;
const NO_RECORD = 1;
const RECORD = 2;

/** The file is not a capture, or says of itself what can't be true. The reader is of no use after it. */
export class CaptureError extends Error {
  /** Position in the file of the record or block that is wrong. */
  readonly position: number;

  constructor(message: string, position: number) {
    super(`${message}, at byte ${position} of the file`);
    this.name = 'CaptureError';
    this.position = position;
  }
}

export class CaptureReader {
  /** FORMAT_UNKNOWN until the first four bytes were read. */
  format = FORMAT_UNKNOWN;
  /** Of the current section of a pcapng file, a list of its own for each; a pcap file has one. A record's `interfaceId` is an index. */
  interfaces: CaptureInterface[] = [];
  /** Sections that have begun. */
  sections = 0;

  dataAt = 0;
  capturedBytes = 0;
  originalBytes = 0;
  interfaceId = 0;
  linkType = 0;
  /** Since 1970; 0 in pcapng's simple blocks, which have no time. */
  seconds = 0;
  nanoseconds = 0;
  /** Options of a pcapng packet block, for `Pcapng.optionAt`; nothing lies between the two otherwise. */
  optionsAt = 0;
  optionsEnd = 0;
  little = true;

  #nano = false;
  readonly #stream = new ChunkStream(BLOCK_BYTES_MAX);

  /** Where the record's data lies. */
  get bytes(): Uint8Array {
    return this.#stream.bytes;
  }

  /** Takes the next piece of the file, when `next` has returned false. */
  feed(chunk: Uint8Array): void {
    this.#stream.feed(chunk);
  }

  /** Goes on to the next record; false when it needs another chunk. Throws CaptureError. */
  next(): boolean {
    while (this.#stream.skipped()) {
      if (this.format === FORMAT_PCAP) return this.#pcapRecord();
      if (this.format === FORMAT_UNKNOWN) {
        if (!this.#start()) return false;
      } else {
        const came = this.#block();
        if (came !== NO_RECORD) return came === RECORD;
      }
    }
    return false;
  }

  /** The fraction of a pcap file's times counts nanoseconds. */
  get isNano(): boolean {
    return this.#nano;
  }

  /**
   * Where the next record or block begins in the chunk, for one who reads plain ones there by himself and says so with `ran`; -1 when it does
   * not begin there.
   */
  get runAt(): number {
    return this.format === FORMAT_UNKNOWN ? -1 : this.#stream.runAt;
  }

  get runEnd(): number {
    return this.#stream.runEnd;
  }

  /** That many bytes of whole records from `runAt` on were read by someone else. */
  ran(bytes: number): void {
    this.#stream.pass(bytes);
  }

  /** When `next` has returned false at the end of the file: the file was cut off inside a record or block. */
  get truncated(): boolean {
    return this.#stream.unfinished;
  }

  /** Reads the file's first bytes; false when they are not all there. */
  #start(): boolean {
    if (!this.#stream.need(4)) return false;
    const { bytes, at } = this.#stream;
    if (get32(bytes, at) === Pcapng.BLOCK_SECTION) {
      this.format = FORMAT_PCAPNG;
      return true;
    }
    if (!Pcap.isMagic(bytes, at)) {
      const magic = getOrderedU32(bytes, at, false).toString(16).padStart(8, '0');
      this.#fail(`not a pcap or pcapng file: it starts with 0x${magic}`);
    }
    return this.#pcapHeader();
  }

  #pcapHeader(): boolean {
    if (!this.#stream.need(Pcap.HEADER_BYTES)) return false;
    const { bytes, at } = this.#stream;
    if (!Pcap.check(bytes, at, at + Pcap.HEADER_BYTES)) this.#fail('pcap file of a version other than 2');
    this.format = FORMAT_PCAP;
    this.little = Pcap.isLittle(bytes, at);
    this.#nano = Pcap.isNano(bytes, at);
    this.linkType = Pcap.linkType(bytes, at, this.little);
    const snapLength = Pcap.snapLength(bytes, at, this.little);
    const resolution = this.#nano ? 9 : RESOLUTION_DEFAULT;
    this.interfaces.push({
      linkType: this.linkType,
      snapLength,
      name: '',
      resolution,
      offsetSeconds: 0,
      options: NO_OPTIONS,
    });
    this.sections = 1;
    this.#stream.take(Pcap.HEADER_BYTES);
    return true;
  }

  #pcapRecord(): boolean {
    if (!this.#stream.need(Pcap.RECORD_BYTES)) return false;
    const captured = Pcap.recordCaptured(this.bytes, this.#stream.at, this.little);
    if (captured > CAPTURED_BYTES_MAX) this.#failSize('record', captured, CAPTURED_BYTES_MAX);
    if (!this.#stream.need(Pcap.RECORD_BYTES + captured)) return false;
    const { little } = this;
    const { bytes, at } = this.#stream;
    this.dataAt = at + Pcap.RECORD_BYTES;
    this.capturedBytes = captured;
    this.originalBytes = Pcap.recordOriginal(bytes, at, little);
    // A fraction of a second or more is wrong, but harmless once it is carried over.
    const fraction = Pcap.recordFraction(bytes, at, little) * (this.#nano ? 1 : 1000);
    const carry = Math.floor(fraction / 1e9);
    this.seconds = Pcap.recordSeconds(bytes, at, little) + carry;
    this.nanoseconds = fraction - carry * 1e9;
    this.#stream.take(Pcap.RECORD_BYTES + captured);
    return true;
  }

  #block(): number {
    if (!this.#stream.need(Pcapng.BLOCK_BYTES_MIN)) return NEED_MORE;
    // A section's type reads the same in both byte orders; its magic then tells the order.
    if (get32(this.bytes, this.#stream.at) === Pcapng.BLOCK_SECTION) this.#byteOrder();
    const type = Pcapng.blockType(this.bytes, this.#stream.at, this.little);
    const len = Pcapng.blockBytes(this.bytes, this.#stream.at, this.little);
    if (len < Pcapng.BLOCK_BYTES_MIN || len % 4 !== 0) this.#fail(`block length ${len}`);
    if (!isRead(type)) {
      this.#stream.take(Pcapng.BLOCK_BYTES_MIN);
      this.#stream.skip(len - Pcapng.BLOCK_BYTES_MIN);
      return NO_RECORD;
    }
    if (len > BLOCK_BYTES_MAX) this.#failSize('block', len, BLOCK_BYTES_MAX);
    if (!this.#stream.need(len)) return NEED_MORE;
    const { bytes, at } = this.#stream;
    if (!Pcapng.check(bytes, at, at + len, this.little)) this.#fail(`block length ${len} is not repeated at its end`);
    const came = this.#content(type, at, len);
    this.#stream.take(len);
    return came;
  }

  #byteOrder(): void {
    const { bytes, at } = this.#stream;
    this.little = Pcapng.isByteOrder(bytes, at, true);
    if (!this.little && !Pcapng.isByteOrder(bytes, at, false)) this.#fail('unknown byte order of a section');
  }

  #content(type: number, at: number, len: number): number {
    switch (type) {
      case Pcapng.BLOCK_SECTION:
        return this.#section(at, len);
      case Pcapng.BLOCK_INTERFACE:
        return this.#interface(at, len);
      case Pcapng.BLOCK_SIMPLE:
        return this.#simple(at, len);
      default:
        return this.#packet(type, at, len);
    }
  }

  #section(at: number, len: number): number {
    if (len < Pcapng.SECTION_BYTES) this.#fail(`section block of ${len} bytes`);
    const major = getOrdered16(this.bytes, at + Pcapng.SECTION_MAJOR_OFF, this.little);
    if (major !== 1) this.#fail(`pcapng version ${major} is not known`);
    this.interfaces = [];
    this.sections++;
    return NO_RECORD;
  }

  #interface(at: number, len: number): number {
    if (len < Pcapng.INTERFACE_BYTES) this.#fail(`interface block of ${len} bytes`);
    if (this.interfaces.length === INTERFACES_MAX) this.#fail(`more than ${INTERFACES_MAX} interfaces`);
    const described = readInterface(this.bytes, at, this.little);
    const { resolution } = described;
    if (!checkResolution(resolution)) this.#fail(`time resolution ${resolution} of an interface is too fine`);
    this.interfaces.push(described);
    return NO_RECORD;
  }

  #packet(type: number, at: number, len: number): number {
    const { bytes, little } = this;
    if (len < Pcapng.PACKET_BYTES) this.#fail(`packet block of ${len} bytes`);
    const idAt = at + Pcapng.PACKET_INTERFACE_OFF;
    const id = type === Pcapng.BLOCK_PACKET ? getOrderedU32(bytes, idAt, little) : getOrdered16(bytes, idAt, little);
    const from = this.#from(id);
    const captured = getOrderedU32(bytes, at + Pcapng.PACKET_CAPTURED_OFF, little);
    this.#data(at + Pcapng.PACKET_DATA_OFF, at + len - 4, captured);
    this.optionsAt = this.dataAt + Pcapng.padded(captured);
    this.optionsEnd = at + len - 4;
    this.originalBytes = getOrderedU32(bytes, at + Pcapng.PACKET_ORIGINAL_OFF, little);
    const high = getOrderedU32(bytes, at + Pcapng.PACKET_TIME_HIGH_OFF, little);
    fromTicks(high, getOrderedU32(bytes, at + Pcapng.PACKET_TIME_LOW_OFF, little), from.resolution);
    this.seconds = time[0] + from.offsetSeconds;
    this.nanoseconds = time[1];
    return RECORD;
  }

  #simple(at: number, len: number): number {
    if (len < Pcapng.SIMPLE_BYTES) this.#fail(`simple packet block of ${len} bytes`);
    const { snapLength } = this.#from(0);
    const original = getOrderedU32(this.bytes, at + Pcapng.SIMPLE_ORIGINAL_OFF, this.little);
    const captured = snapLength === 0 ? original : Math.min(original, snapLength);
    this.#data(at + Pcapng.SIMPLE_DATA_OFF, at + len - 4, captured);
    this.originalBytes = original;
    this.optionsAt = this.optionsEnd;
    this.seconds = 0;
    this.nanoseconds = 0;
    return RECORD;
  }

  /** Notes which interface a record names. */
  #from(id: number): CaptureInterface {
    if (id >= this.interfaces.length) this.#fail(`packet of interface ${id}, which the file does not describe`);
    this.interfaceId = id;
    this.linkType = this.interfaces[id].linkType;
    return this.interfaces[id];
  }

  /** Notes where a record's data lies, which must end by `end`. */
  #data(dataAt: number, end: number, captured: number): void {
    if (captured > CAPTURED_BYTES_MAX) this.#failSize('packet', captured, CAPTURED_BYTES_MAX);
    if (captured > end - dataAt) this.#fail(`packet of ${captured} bytes in a block with ${end - dataAt} for it`);
    this.dataAt = dataAt;
    this.capturedBytes = captured;
  }

  #failSize(what: string, len: number, max: number): never {
    this.#fail(`${what} of ${len} bytes, more than ${max}`);
  }

  #fail(message: string): never {
    throw new CaptureError(message, this.#stream.position);
  }
}

function isRead(type: number): boolean {
  switch (type) {
    case Pcapng.BLOCK_SECTION:
    case Pcapng.BLOCK_INTERFACE:
    case Pcapng.BLOCK_PACKET:
    case Pcapng.BLOCK_OLD_PACKET:
    case Pcapng.BLOCK_SIMPLE:
      return true;
    default:
      return false;
  }
}
