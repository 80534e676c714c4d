import { DROP_COUNT, DROP_REASONS } from './drop.js';

/**
 * Counter block: one Float64Array in shared memory per worker, `ROWS` rows of `ROW_WIDTH` doubles. A worker adds to its own
 * block only, so no atomics are needed (an aligned double is written whole on every machine that Node runs on); readers sum the blocks.
 * Doubles count exactly to 2^53.
 *
 * Units: packets are wire packets (a superframe counts its segments), bytes are frame bytes as they lie in the arena.
 */
export const RX_PACKETS = 0;
export const RX_BYTES = 1;
export const TX_PACKETS = 2;
export const TX_BYTES = 3;
/** Packets added by flooding: a frame sent to k egresses counts k-1 here. */
export const COPIED = 4;
/** Packets that the node made itself (answers). */
export const MADE = 5;
/** Packets that ended in the node itself (ARP for its own address, absorbed control). */
export const CONSUMED = 6;
/** Losses before rx: SO_RXQ_OVFL, a device's own drops. Not part of the account. */
export const MISSED = 7;
/** Superframes received or sent as one lane or message. */
export const RX_SUPERFRAMES = 8;
export const TX_SUPERFRAMES = 9;
/** MACs that were not learned because the network is at its limit or the table is full. */
export const LEARN_REFUSED = 10;
/** Last packet heard from a peer: monotonic seconds (a gauge; readers take the maximum over workers). */
export const LAST_HEARD = 11;
/** Last errno of a failed send (a gauge). */
export const LAST_ERRNO = 12;
/** MAC entries that moved from one port or peer to another. */
export const MAC_MOVES = 13;
/** ICMP errors that came back about packets sent to a peer; the errno of the latest is LAST_ERRNO. */
export const ICMP_ERRORS = 14;
/** First drop reason; reason r is at DROP_BASE + r. */
export const DROP_BASE = 16;

export const ROW_WIDTH = 64;

/** Row spaces: an entity's row is the base of its kind plus its id. */
export const PORTS_MAX = 1024;
export const PEERS_MAX = 2048;
export const NETWORKS_MAX = 512;
/** Carriers of underlays: one for each transport (UDP port or IP protocol) that an underlay's networks use. */
export const UNDERLAYS_MAX = 64;
export const PORT_ROW = 0;
export const PEER_ROW = PORT_ROW + PORTS_MAX;
export const NETWORK_ROW = PEER_ROW + PEERS_MAX;
export const UNDERLAY_ROW = NETWORK_ROW + NETWORKS_MAX;
export const ROWS = UNDERLAY_ROW + UNDERLAYS_MAX;

if (DROP_BASE + DROP_COUNT > ROW_WIDTH) throw new Error('counter rows are too narrow for the drop list');

export function makeCounterBlock(): SharedArrayBuffer {
  return new SharedArrayBuffer(ROWS * ROW_WIDTH * 8);
}

export interface CounterRow {
  rxPackets: number;
  rxBytes: number;
  txPackets: number;
  txBytes: number;
  copied: number;
  made: number;
  consumed: number;
  missed: number;
  rxSuperframes: number;
  txSuperframes: number;
  learnRefused: number;
  macMoves: number;
  icmpErrors: number;
  /** Monotonic seconds of the last packet heard, 0 for never. */
  lastHeard: number;
  lastErrno: number;
  /** Only the reasons that occurred. */
  drops: Record<string, number>;
}

/** Sums one row over the blocks of all workers. */
export function readRow(blocks: readonly Float64Array[], row: number): CounterRow {
  const base = row * ROW_WIDTH;
  const total = (i: number) => blocks.reduce((sum, b) => sum + b[base + i]!, 0);
  const latest = (i: number) => blocks.reduce((max, b) => Math.max(max, b[base + i]!), 0);
  const drops: Record<string, number> = {};
  DROP_REASONS.forEach((reason, r) => {
    const n = total(DROP_BASE + r);
    if (r > 0 && n > 0) drops[reason.name] = n;
  });
  return {
    rxPackets: total(RX_PACKETS),
    rxBytes: total(RX_BYTES),
    txPackets: total(TX_PACKETS),
    txBytes: total(TX_BYTES),
    copied: total(COPIED),
    made: total(MADE),
    consumed: total(CONSUMED),
    missed: total(MISSED),
    rxSuperframes: total(RX_SUPERFRAMES),
    txSuperframes: total(TX_SUPERFRAMES),
    learnRefused: total(LEARN_REFUSED),
    macMoves: total(MAC_MOVES),
    icmpErrors: total(ICMP_ERRORS),
    lastHeard: latest(LAST_HEARD),
    lastErrno: latest(LAST_ERRNO),
    drops,
  };
}

/** Adds a block to another one, as `readRow` sums them. */
export function addCounters(to: Float64Array, from: Float64Array): void {
  for (let i = 0; i < to.length; i++) {
    const column = i % ROW_WIDTH;
    const isGauge = column === LAST_HEARD || column === LAST_ERRNO;
    to[i] = isGauge ? Math.max(to[i], from[i]) : to[i] + from[i];
  }
}

/** Zeroes one row in every block: an id that is given to a fresh entity must not inherit figures. */
export function clearRow(blocks: readonly Float64Array[], row: number): void {
  for (const block of blocks) block.fill(0, row * ROW_WIDTH, (row + 1) * ROW_WIDTH);
}

export interface Account {
  received: number;
  copied: number;
  made: number;
  sent: number;
  dropped: number;
  consumed: number;
  /** received + copied + made - sent - dropped - consumed: packets inside the node. 0 when it is quiet. */
  held: number;
}

/**
 * The node's account. Packets enter through ports and underlays and leave through them; drops are charged once, to the port, peer or
 * underlay that brought the packet or refused it. Rows of peers repeat rx and tx of their underlay and are left out of those sums.
 */
export function account(blocks: readonly Float64Array[]): Account {
  const a: Account = { received: 0, copied: 0, made: 0, sent: 0, dropped: 0, consumed: 0, held: 0 };
  for (const block of blocks) {
    for (let row = 0; row < ROWS; row++) {
      if (row >= NETWORK_ROW && row < UNDERLAY_ROW) continue;
      const base = row * ROW_WIDTH;
      const isPeer = row >= PEER_ROW && row < NETWORK_ROW;
      if (!isPeer) {
        a.received += block[base + RX_PACKETS]!;
        a.sent += block[base + TX_PACKETS]!;
        a.copied += block[base + COPIED]!;
        a.made += block[base + MADE]!;
        a.consumed += block[base + CONSUMED]!;
      }
      for (let r = 1; r < DROP_COUNT; r++) a.dropped += block[base + DROP_BASE + r]!;
    }
  }
  a.held = a.received + a.copied + a.made - a.sent - a.dropped - a.consumed;
  return a;
}
