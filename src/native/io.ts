// Columns of shared memory and the functions bound over them: what a worker's turn shares with the native addon.
//
// Bound functions take numbers and return a count, or a negative errno. -EINVAL (-22): an argument, or an offset found
// in io, lies outside of what was bound; -ENOTRECOVERABLE (-131): a defect inside of the addon.

/**
 * Where a worker's columns lie in its io words: offsets and sizes in words of 4 bytes. A function needs only the
 * entries that it uses. in: written by JavaScript; out: by the addon.
 */
export interface IoLayout {
  /** Lanes of the rx columns, 1 to 65536. */
  burst: number;
  /** Rows of the msg columns, 1 to 65536. */
  messages: number;
  /** Rows of the ext columns, 1 to 65536. */
  extents: number;
  /** [burst] in: byte offset in the arena where the frame goes. */
  rxAt: number;
  /** [burst] in: bytes of room there. */
  rxCap: number;
  /** [burst] out: bytes of the frame, without virtio-net header. */
  rxLen: number;
  /** [burst] out: segment size of a UDP_GRO super-datagram, 0 for a plain one. */
  rxGso: number;
  /** [burst * 4] out: source address, network order as raw bytes; IPv4 as ::ffff:a.b.c.d. */
  rxSrc: number;
  /** [burst] out: source port, host order. */
  rxPort: number;
  /** [burst] out: outer TOS or traffic class, -1 unknown. */
  rxTos: number;
  /** [burst] out: RX_TRUNCATED. */
  rxFlags: number;
  /** [messages] in: index of the first extent. */
  msgFirst: number;
  /** [messages] in: extents, 1 to 1024. */
  msgCount: number;
  /** [messages] in: row in the destination table. */
  msgDest: number;
  /** [messages] in: index into the sockets bound. */
  msgSocket: number;
  /** [messages] in: bytes of a segment for UDP_SEGMENT, 0 = one datagram. */
  msgGso: number;
  /** [messages] in: TOS or traffic class, -1 = the socket's own. */
  msgTos: number;
  /** [messages] out: bytes sent or -errno. */
  msgResult: number;
  /** [extents] in: byte offset in the arena. */
  extAt: number;
  /** [extents] in: bytes. */
  extLen: number;
  /** [4] out, by every wait: seconds, milliseconds (wrapping at 2^31), and a double of seconds at clock + 2. */
  clock: number;
  /** [16] out: see COUNTER_*. */
  counters: number;
}

/**
 * Words of `counters`: datagrams that the socket's full receive buffer has lost (its own count, wrapping at 32 bits),
 * messages cut here because the kernel refused, and the last errno in a msgResult. A binding may have counters of its
 * own: the same layout with another offset.
 */
export const COUNTER_RXQ_OVFL = 0;
export const COUNTER_GSO_FALLBACKS = 1;
export const COUNTER_LAST_ERRNO = 2;

/** Bit of rxFlags: the frame or datagram was longer than its place and has been cut. */
export const RX_TRUNCATED = 1;

/** Bytes from one virtio-net header to the next, from vnetAt on. */
export const VNET_STRIDE = 16;

/** Words of a row in the destination table: family 4|6, port, four address words as raw bytes (IPv4 in the first), scope id, 0. */
export const DESTINATION_WORDS = 8;

/** The id of a doorbell: drained by the wait that it ends, and not reported. */
export const DOORBELL_ID = -1;

/** Bits of an epoll event mask. */
export const EPOLLIN = 0x001;
export const EPOLLOUT = 0x004;

/** Byte arrays and word arrays that a binding holds on to; anything but a SharedArrayBuffer beneath is a TypeError. */
export type ArenaBytes = Uint8Array;
export type IoWords = Int32Array;

/**
 * Reads up to `max` frames, until `byteLimit` bytes have been read or the device has no more.
 * Returns the frames read, 0 if there were none, or -errno if the first read failed.
 */
export type TapRx = (max: number, byteLimit: number) => number;

/**
 * Writes the messages first to first + n, one writev each. Returns how many went; msgResult says which. A device that
 * is congested leaves that message and the rest at -EAGAIN (-11).
 */
export type TapTx = (first: number, n: number) => number;

/** Receives up to `max` datagrams in one system call. Pending ICMP errors are skipped. Returns a count or -errno. */
export type UdpRx = (max: number) => number;

/**
 * Sends the messages first to first + n. Returns how many went; msgResult says which. A full socket or device leaves
 * that message and the rest at -EAGAIN (-11); any other error stays with its own message. Where the kernel refuses
 * UDP_SEGMENT the message goes as single datagrams, counted in counters[1], and so do later ones of this binding.
 */
export type UdpTx = (first: number, n: number) => number;

/**
 * Reads ICMP errors of the sockets, up to `burst`: rxSrc and rxPort the destination that was meant, rxLen the errno,
 * rxGso the next hop's MTU (EMSGSIZE), rxFlags the origin (1 local, 2 ICMP, 3 ICMPv6). Returns their number.
 */
export type ErrorQueue = () => number;

export interface Poll {
  /** Watches a descriptor under an id (0 or more, or DOORBELL_ID); events default EPOLLIN. EEXIST, EBADF, EPERM. */
  add(fd: number, id: number, events?: number): void;
  /** ENOENT, EBADF. */
  remove(fd: number): void;
  /**
   * Waits until a descriptor is ready, the doorbell rings, or the time is over: microseconds, at most 1 s, 0 = look
   * only. Writes the ids that are ready to io[readyAt..] and the clock words, returns how many; -EBADF when closed.
   * A descriptor in error (a deleted device, a pending ICMP error) stays ready until it is read or removed.
   */
  wait(timeoutUs: number): number;
  close(): void;
}
