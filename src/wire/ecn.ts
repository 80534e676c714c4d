/*
 * Explicit congestion notification across tunnels (RFC 6040). The two ECN bits are the lowest of the IPv4 TOS and the IPv6 traffic
 * class.
 *
 *   Decapsulation (figure 4 of the RFC): the outgoing codepoint
 *   +---------+---------------------------------------+
 *   | arriving|          arriving outer header        |
 *   |  inner  | Not-ECT | ECT(0)  | ECT(1)  |   CE    |
 *   +---------+---------+---------+---------+---------+
 *   | Not-ECT | Not-ECT | Not-ECT | Not-ECT |  drop   |
 *   | ECT(0)  | ECT(0)  | ECT(0)  | ECT(1)  |   CE    |
 *   | ECT(1)  | ECT(1)  | ECT(1)  | ECT(1)  |   CE    |
 *   | CE      |   CE    |   CE    |   CE    |   CE    |
 *   +---------+---------+---------+---------+---------+
 */

export const NOT_ECT = 0;
export const ECT_1 = 1;
export const ECT_0 = 2;
export const CE = 3;

export const MASK = 3;

/** From `decapsulate`: congestion was signalled to a flow that can't hear it, so the packet goes instead. */
export const DROP = -1;

// Indexed by inner << 2 | outer, in the order of the codepoints' values: Not-ECT, ECT(1), ECT(0), CE.
const OUTGOING = Int8Array.of(
  ...[NOT_ECT, NOT_ECT, NOT_ECT, DROP],
  ...[ECT_1, ECT_1, ECT_1, CE],
  ...[ECT_0, ECT_1, ECT_0, CE],
  ...[CE, CE, CE, CE],
);

/** Outer codepoint in normal mode (section 4.1): the inner one. Takes a whole TOS, gives a codepoint. */
export function encapsulate(innerTos: number): number {
  return innerTos & MASK;
}

/** Outgoing inner codepoint (section 4.2) or DROP. Takes whole TOS values, gives a codepoint. */
export function decapsulate(innerTos: number, outerTos: number): number {
  return OUTGOING[((innerTos & MASK) << 2) | (outerTos & MASK)];
}
