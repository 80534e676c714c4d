import { describe, expect, it } from 'vitest';
import {
  account,
  CONSUMED,
  COPIED,
  clearRow,
  DROP_BASE,
  LAST_ERRNO,
  LAST_HEARD,
  MADE,
  MISSED,
  makeCounterBlock,
  NETWORK_ROW,
  NETWORKS_MAX,
  PEER_ROW,
  PEERS_MAX,
  PORT_ROW,
  PORTS_MAX,
  ROW_WIDTH,
  ROWS,
  RX_BYTES,
  RX_PACKETS,
  readRow,
  TX_BYTES,
  TX_PACKETS,
  UNDERLAY_ROW,
  UNDERLAYS_MAX,
} from '../../../src/packet/counters.js';
import { DROP } from '../../../src/packet/drop.js';

const blocks = (n: number) => Array.from({ length: n }, () => new Float64Array(makeCounterBlock()));
const at = (row: number, column: number) => row * ROW_WIDTH + column;

describe('the rows', () => {
  it('leave no id of one kind in the space of another', () => {
    expect([PORT_ROW, PEER_ROW, NETWORK_ROW, UNDERLAY_ROW, ROWS]).toEqual([
      0,
      PORTS_MAX,
      PORTS_MAX + PEERS_MAX,
      PORTS_MAX + PEERS_MAX + NETWORKS_MAX,
      PORTS_MAX + PEERS_MAX + NETWORKS_MAX + UNDERLAYS_MAX,
    ]);
    expect(makeCounterBlock().byteLength).toBe(ROWS * ROW_WIDTH * 8);
  });

  it('have columns of their own for everything', () => {
    const columns = [
      RX_PACKETS,
      RX_BYTES,
      TX_PACKETS,
      TX_BYTES,
      COPIED,
      MADE,
      CONSUMED,
      MISSED,
      LAST_HEARD,
      LAST_ERRNO,
    ];
    expect(new Set(columns).size).toBe(columns.length);
    expect(Math.max(...columns)).toBeLessThan(DROP_BASE);
  });
});

describe('reading a row', () => {
  it('adds up the workers, but takes the latest of a gauge', () => {
    const [a, b] = blocks(2);
    const row = PEER_ROW + 3;
    a[at(row, RX_PACKETS)] = 2;
    b[at(row, RX_PACKETS)] = 40;
    a[at(row, LAST_HEARD)] = 100;
    b[at(row, LAST_HEARD)] = 90;
    b[at(row, LAST_ERRNO)] = 105;
    a[at(row, DROP_BASE + DROP['too-big'])] = 1;
    b[at(row, DROP_BASE + DROP['too-big'])] = 1;
    const r = readRow([a, b], row);
    expect([r.rxPackets, r.lastHeard, r.lastErrno]).toEqual([42, 100, 105]);
    expect(r.drops).toEqual({ 'too-big': 2 });
  });

  it('does not see the rows beside it', () => {
    const [a] = blocks(1);
    a.fill(7, at(5, 0), at(6, 0));
    expect(readRow([a], 4)).toEqual(readRow(blocks(1), 4));
    expect(readRow([a], 6)).toEqual(readRow(blocks(1), 6));
    expect(readRow([a], 5).txBytes).toBe(7);
  });

  it('shows a number beyond 2^32 exactly', () => {
    const [a, b] = blocks(2);
    a[at(1, RX_BYTES)] = 2 ** 52;
    b[at(1, RX_BYTES)] = 1;
    expect(readRow([a, b], 1).rxBytes).toBe(2 ** 52 + 1);
  });

  it('is empty after the row is cleared, in every block', () => {
    const both = blocks(2);
    for (const b of both) b.fill(9, at(8, 0), at(11, 0));
    clearRow(both, 9);
    expect(readRow(both, 9)).toEqual(readRow(blocks(1), 9));
    expect(readRow(both, 8).rxPackets).toBe(18);
    expect(readRow(both, 10).rxPackets).toBe(18);
  });
});

describe('the account', () => {
  it('is received + copied + made - sent - dropped - consumed', () => {
    const [a, b] = blocks(2);
    a[at(PORT_ROW + 1, RX_PACKETS)] = 100;
    b[at(UNDERLAY_ROW + 1, RX_PACKETS)] = 50;
    a[at(PORT_ROW + 1, COPIED)] = 7;
    a[at(PORT_ROW + 2, MADE)] = 3;
    b[at(PORT_ROW + 2, TX_PACKETS)] = 120;
    a[at(UNDERLAY_ROW + 1, TX_PACKETS)] = 20;
    a[at(PORT_ROW + 1, CONSUMED)] = 2;
    a[at(PORT_ROW + 1, DROP_BASE + DROP['same-port'])] = 5;
    a[at(PEER_ROW + 1, DROP_BASE + DROP['tx-full'])] = 6;
    b[at(UNDERLAY_ROW + 1, DROP_BASE + DROP['unknown-vni'])] = 1;
    const expected = { received: 150, copied: 7, made: 3, sent: 140, consumed: 2, dropped: 12, held: 6 };
    expect(account([a, b])).toEqual(expected);
  });

  it('does not count twice what peers and networks repeat, nor what never arrived', () => {
    const [a] = blocks(1);
    a[at(PEER_ROW + 1, RX_PACKETS)] = 10;
    a[at(PEER_ROW + 1, TX_PACKETS)] = 10;
    a[at(NETWORK_ROW + 1, DROP_BASE + DROP['too-big'])] = 4;
    a[at(PORT_ROW + 1, MISSED)] = 9;
    expect(account([a])).toEqual({ received: 0, copied: 0, made: 0, sent: 0, consumed: 0, dropped: 0, held: 0 });
  });

  it('sees the last row of every kind', () => {
    const [a] = blocks(1);
    a[at(PORT_ROW + PORTS_MAX - 1, RX_PACKETS)] = 1;
    a[at(UNDERLAY_ROW + UNDERLAYS_MAX - 1, RX_PACKETS)] = 1;
    a[at(PEER_ROW + PEERS_MAX - 1, DROP_BASE + DROP['worker-lost'])] = 1;
    expect(account([a])).toMatchObject({ received: 2, dropped: 1, held: 1 });
  });
});
