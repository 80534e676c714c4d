// Columns of shared memory and the functions bound over them: what a worker's turn shares with the native addon.
//
// Bound functions take numbers and return a count, or a negative errno. -EINVAL (-22): an argument, or an offset found
// in io, lies outside of what was bound; -ENOTRECOVERABLE (-131): a defect inside of the addon.

export { VNET_STRIDE } from '../packet/arena.js';
export {
  COUNTER_GSO_FALLBACKS,
  COUNTER_LAST_ERRNO,
  COUNTER_RXQ_OVFL,
  type NativeColumns as IoLayout,
  RX_TRUNCATED,
} from '../packet/outbox.js';

/** Words of a row in the destination table: family 4|6, port, four address words as raw bytes (IPv4 in the first), scope id, 0. */
export const DESTINATION_WORDS = 8;

/** The id of a doorbell: drained by the wait that it ends, and not reported. */
export const DOORBELL_ID = -1;

/** Bits of an epoll event mask. */
export const EPOLLIN = 0x001;
export const EPOLLOUT = 0x004;
/** Reported once each time that it becomes ready: for what nobody reads. */
export const EPOLLET = 0x8000_0000;

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
 * The kernel takes a frame of any length, also one longer than the device's MTU: that is the writer's to keep.
 * -EINVAL (-22): shorter than an Ethernet header, on a TUN a first nibble that is neither 4 nor 6 (a packet that is cut
 * off is taken), or a virtio-net header that contradicts the frame. -EIO (-5): the device is down.
 */
export type TapTx = (first: number, n: number) => number;

/** Receives up to `max` datagrams in one system call. Pending ICMP errors are skipped. Returns a count or -errno. */
export type UdpRx = (max: number) => number;

/**
 * Receives up to `max` raw IP packets in one system call, as UdpRx does; rxOff says where the payload begins, rxPort and
 * rxGso are 0. The kernel delivers them reassembled. What it has merged (GRO) or what another namespace of this machine
 * sent whole (GSO) comes as one packet of up to 64 KB whose inner TCP checksum covers the pseudo-header alone.
 */
export type RawRx = (max: number) => number;

/**
 * Sends the messages first to first + n. Returns how many went; msgResult says which. A full socket or device leaves
 * that message and the rest at -EAGAIN (-11); any other error stays with its own message. Where the kernel refuses
 * UDP_SEGMENT the message goes as single datagrams, counted in counters[1], and so do later ones of this binding.
 * Over raw sockets: msgGso 0, and a destination's port 0.
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
