import type { OuterRules } from './outer.js';
import type { OnSendError } from './sendErrors.js';

/**
 * What the walk needs of an underlay, bound inside one worker.
 *
 * Socket underlays take tunnel header and frame, the kernel writes the outer headers. Frame underlays take whole outer frames.
 */
interface UnderlayBase {
  readonly id: number;
  readonly name: string;
  /** One receive call. Returns how many packets came, 0 for none, or a negative errno. */
  rx(): number;
  /** More is waiting: the receive was full. */
  readonly hasMore: () => boolean;
  /**
   * Fills lanes from the packets of the last rx, standing at the tunnel header (slot, at, len, from, outerTos, drop), and returns their number;
   * 0 when all have been handed out.
   */
  nextLanes(): number;
  /** Sends messages 0..n of the outbox, as Port.tx does. */
  tx(n: number): number;
  /** Brings the slots of lanes 0..n home. */
  release(n: number): void;
  close(): void;
  /** DSCP bits of outer packets as a TOS value, or -1 to copy the inner ones. */
  readonly tos: number;
  readonly deliverOffloadLeak: boolean;
}

export interface SocketUnderlay extends UnderlayBase {
  readonly kind: 'udp' | 'raw';
  /** Sending sockets, one per source port; raw: one per IP protocol. */
  readonly sockets: number;
  /** Raw: index of the socket for inner IPv6. -1: the flow's hash chooses the socket. */
  readonly socketV6: number;
  /**
   * UDP: index of the socket that sends from the tunnel's own port, for peers behind a NAT: it lets in what comes from where they sent to, and
   * nothing else (RFC 4787 section 5). Raw: -1.
   */
  readonly listening: number;
  /** Datagrams that one UDP_SEGMENT message may carry; 1 where the kernel or the socket cannot. */
  readonly segmentsMax: number;
  /** Packets lost before rx since the last call (SO_RXQ_OVFL). */
  missed(): number;
  /** Reads the errors that came back about what was sent. */
  readErrors(onError: OnSendError): void;
}

export interface FrameUnderlay extends UnderlayBase {
  readonly kind: 'frame';
  readonly rules: OuterRules;
  /** Its rules become those of the kernel of the way in, which has one underlay's at a time. */
  handOver(): void;
  /** Tunnels of every kind that are taken off each frame, at most; 0: what comes in is for the networks of the plan. */
  readonly popDepth: number;
  /** Lanes of the last nextLanes that are for nobody. */
  strangers(): number;
}

export type Underlay = SocketUnderlay | FrameUnderlay;

/** One shape for live sockets and the warm-up's, for the reason that ports have one (port/port.ts). */
export function defineSocketUnderlay(u: SocketUnderlay): SocketUnderlay {
  return {
    kind: u.kind,
    id: u.id,
    name: u.name,
    rx: u.rx,
    hasMore: u.hasMore,
    nextLanes: u.nextLanes,
    tx: u.tx,
    release: u.release,
    close: u.close,
    tos: u.tos,
    deliverOffloadLeak: u.deliverOffloadLeak,
    sockets: u.sockets,
    socketV6: u.socketV6,
    listening: u.listening,
    segmentsMax: u.segmentsMax,
    missed: u.missed,
    readErrors: u.readErrors,
  };
}
