/**
 * Frames of one port as a pcapng stream. The dataplane hands over each frame as it passes; what the reader does not take in time is
 * counted and left out, so that a slow disk never slows the switch down.
 */
import { Readable } from 'node:stream';
import * as Pcap from '../wire/pcap.js';
import * as Pcapng from '../wire/pcapng.js';
import type { Dataplane } from './dataplane.js';
import { packageVersion } from './version.js';

const NO_COMMENT = new Uint8Array(0);
type Handle = ReturnType<Dataplane['capture']>;
type Seen = Parameters<Parameters<Dataplane['capture']>[2]>[0];

/** Bytes that may wait for the reader. */
const WAITING_MAX = 8 * 1024 * 1024;

export interface CaptureOptions {
  /** Ends the stream after so many frames. */
  count?: number;
  /** Bytes kept of each frame; default all. */
  snapLength?: number;
  /** The port's frames are bare IP packets: it is in an L3 network. */
  isPackets?: boolean;
}

/** A pcapng file as it grows. Destroying or ending it stops the capture. */
export interface CaptureStream extends Readable {
  /** Resolves when all frames that pass from now on are in the stream. */
  readonly started: Promise<void>;
  /** Frames in the stream so far. */
  readonly frames: number;
  /** Frames that passed and are not in the stream. */
  missed(): number;
  /** Ends the stream well: what is in it stays a whole file. */
  finish(): void;
}

export function captureStream(
  name: string,
  dataplane: Pick<Dataplane, 'capture'>,
  port: number,
  options: CaptureOptions = {},
): CaptureStream {
  const { count = Number.POSITIVE_INFINITY, snapLength = 65535, isPackets = false } = options;
  /** Wall clock at monotonic zero: records carry monotonic time. */
  const bootedAt = Date.now() / 1000 - Number(process.hrtime.bigint()) / 1e9;
  let frames = 0;
  let overrun = 0;
  let unreported = 0;
  let handle: Handle | null = null;
  let isStopped = false;
  let isDone = false;
  const missed = () => overrun + (handle?.missed() ?? 0);

  function record(seen: Seen): void {
    if (isDone) return;
    if (stream.readableLength > WAITING_MAX) {
      overrun++;
      unreported++;
      return;
    }
    stream.push(packetBlock(seen, bootedAt, unreported));
    unreported = 0;
    if (++frames >= count) finish();
  }

  /** Once only: by the time that the stream is destroyed another capture may be running. */
  function stop(): void {
    if (isStopped) return;
    isStopped = true;
    handle?.stop();
  }

  function finish(): void {
    if (isDone) return;
    // Stopping brings what still waits in the workers; it belongs to the capture unless that has its count.
    if (frames < count) stop();
    if (isDone) return;
    isDone = true;
    stop();
    const lost = missed();
    stream.push(statisticsBlock(frames + lost, lost));
    stream.push(null);
  }

  const stream = Object.defineProperties(
    new Readable({
      highWaterMark: WAITING_MAX,
      read() {},
      destroy(error, callback) {
        isDone = true;
        stop();
        callback(error);
      },
    }),
    { frames: { get: () => frames }, missed: { value: missed }, finish: { value: finish } },
  ) as CaptureStream;
  stream.push(headerBlocks(name, snapLength, isPackets ? Pcap.LINK_RAW : Pcap.LINK_ETHERNET));
  handle = dataplane.capture(port, snapLength, record);
  Object.defineProperty(stream, 'started', { value: handle.started });
  return stream;
}

function headerBlocks(name: string, snapLength: number, linkType: number): Buffer {
  const bytes = Buffer.alloc(512 + Buffer.byteLength(name));
  const at = Pcapng.write(bytes, 0, `weft ${packageVersion()}`);
  return bytes.subarray(0, Pcapng.writeInterface(bytes, at, linkType, snapLength, name));
}

function packetBlock(seen: Seen, bootedAt: number, drops: number): Buffer {
  const captured = seen.bytes.length;
  const direction = seen.direction === 'in' ? Pcapng.DIRECTION_IN : Pcapng.DIRECTION_OUT;
  const bytes = Buffer.allocUnsafe(Pcapng.packetBytes(captured, direction, drops, NO_COMMENT));
  bytes.set(seen.bytes, Pcapng.PACKET_DATA_OFF);
  const seconds = Math.floor(bootedAt + seen.seconds);
  const nanoseconds = Math.floor((bootedAt + seen.seconds - seconds) * 1e9);
  Pcapng.writePacket(bytes, 0, 0, seconds, nanoseconds, captured, seen.originalLength, direction, drops, NO_COMMENT);
  return bytes;
}

function statisticsBlock(received: number, dropped: number): Buffer {
  const bytes = Buffer.alloc(128);
  const now = Date.now();
  const end = Pcapng.writeStatistics(bytes, 0, 0, Math.floor(now / 1000), (now % 1000) * 1_000_000, received, dropped);
  return bytes.subarray(0, end);
}
