/**
 * What the walk needs of a port, bound inside one worker. Every kind has the same shape; the walk calls each function once per burst.
 */
export interface Port {
  readonly id: number;
  readonly name: string;
  /**
   * Fills lanes 0..n of the burst (slot, at, len, packets, gsoType, gsoSize, csumStart, csumOffset, flags) and returns n; 0 when there is
   * nothing, a negative errno when the device failed.
   */
  rx(): number;
  /** More is waiting: the burst was full. */
  readonly hasMore: () => boolean;
  /**
   * Sends messages 0..n of the outbox. msgResult says what became of each (bytes or -errno); returns how many went.
   */
  tx(n: number): number;
  /** Brings the slots of the lanes 0..n home. */
  release(n: number): void;
  /** Bytes of virtio-net header that the first extent of each message must be: 0, 10 or 12. */
  readonly vnetHdrLen: number;
  /** The device takes unfinished checksums (TUN_F_CSUM). It and the next two change with the machine behind a vhost-user port. */
  takesPartialChecksum: boolean;
  takesTso4: boolean;
  takesTso6: boolean;
  /** UDP superframes over IPv4 and IPv6. */
  readonly takesUso: boolean;
  close(): void;
}

/**
 * Makes every kind's port an object of one shape. The walk's call sites see live ports, pcap ports and the warm-up's memory ports; if they
 * were built in different literals, the first live frame would find code that was compiled for another shape.
 */
export function definePort(p: Port): Port {
  return {
    id: p.id,
    name: p.name,
    rx: p.rx,
    hasMore: p.hasMore,
    tx: p.tx,
    release: p.release,
    vnetHdrLen: p.vnetHdrLen,
    takesPartialChecksum: p.takesPartialChecksum,
    takesTso4: p.takesTso4,
    takesTso6: p.takesTso6,
    takesUso: p.takesUso,
    close: p.close,
  };
}
