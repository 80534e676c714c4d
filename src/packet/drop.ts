/**
 * The closed list of drop reasons. Every frame that is received and not delivered is counted under exactly one.
 * The number is the index into a counter row and the value of the lane column `drop`; 0 means "not dropped".
 * Append only: numbers are kept in captures and in saved reports.
 */
export const DROP_REASONS = [
  { name: 'none', text: 'not dropped' },
  { name: 'malformed-frame', text: 'frame shorter than an Ethernet header, or its VLAN tags run past its end' },
  { name: 'malformed-outer', text: 'outer Ethernet, IP or UDP header truncated or inconsistent' },
  { name: 'malformed-tunnel', text: 'tunnel header truncated, or nothing behind it' },
  { name: 'tunnel-flags', text: 'tunnel header without a valid VNI (RFC 7348: the I flag must be set)' },
  { name: 'outer-checksum', text: 'outer UDP or IP checksum is wrong' },
  { name: 'outer-fragment', text: 'outer packet is a fragment; VTEPs must not fragment (RFC 7348 section 4.3)' },
  { name: 'not-for-us', text: 'outer packet is for another address or port' },
  { name: 'unknown-vni', text: 'no network of this underlay has the VNI' },
  { name: 'unknown-peer', text: 'the sender is not a configured peer of the network' },
  { name: 'link-local-control', text: 'IEEE 802.1D link-local control frame (STP, LACP, LLDP, pause): not forwarded' },
  { name: 'invalid-source', text: 'source MAC is multicast or zero' },
  { name: 'same-port', text: 'destination is behind the port that the frame came from' },
  { name: 'split-horizon', text: 'frame from a peer for another peer: never forwarded between peers' },
  { name: 'no-destination', text: 'nobody to flood to' },
  { name: 'broadcast-limit', text: 'broadcast, multicast and unknown unicast over the limit of the network' },
  { name: 'mac-flap', text: 'source MAC moves too often between ports or peers; it is held where it was' },
  { name: 'static-mac', text: 'source MAC is configured elsewhere (static entry)' },
  { name: 'too-big', text: 'inner packet larger than the MTU of the network' },
  { name: 'bad-offload', text: 'offload metadata of the device does not match the frame' },
  { name: 'offload-leak', text: 'packet with an unfinished inner checksum or uncut: the sender relied on an offload' },
  { name: 'ecn', text: 'congestion mark on a packet whose inner header is not ECN-capable (RFC 6040 section 4.2)' },
  { name: 'truncated', text: 'longer than the slot that receives it, or cut short by a capture' },
  { name: 'no-slot', text: 'no free slot in the arena' },
  {
    name: 'no-neighbour',
    text: 'link-layer address of the next hop is not known: it has not answered, or none is configured',
  },
  { name: 'device-gone', text: 'the egress was removed, or its device is down' },
  { name: 'tx-full', text: 'egress queue or socket buffer full' },
  {
    name: 'tx-too-big',
    text: 'larger than the path or device MTU, says the kernel, or than any buffer of the machine behind a vhost-user port',
  },
  { name: 'tx-error', text: 'the kernel refused the packet' },
  { name: 'worker-lost', text: 'held by a worker that died' },
  { name: 'tunnel-protocol', text: 'the tunnel carries a protocol that the network does not (Ethernet, IPv4, IPv6)' },
  { name: 'critical-option', text: 'Geneve option of a critical type that is not understood (RFC 8926 section 3.5)' },
  { name: 'option-mismatch', text: 'Geneve option that the network requires is missing, or has other data' },
  { name: 'tunnel-control', text: 'control packet of the tunnel (Geneve O bit, GUE C bit): not forwarded' },
  { name: 'tunnel-checksum', text: 'checksum of the tunnel header is wrong (RFC 2784)' },
  { name: 'tunnel-sequence', text: 'sequence number of the tunnel older than the last one (RFC 2890 section 2.2)' },
  { name: 'malformed-packet', text: 'inner packet is not IP, or its header is truncated or inconsistent' },
  { name: 'no-route', text: 'no route to the destination' },
  { name: 'ttl-exceeded', text: 'TTL or hop limit used up' },
  { name: 'nesting-limit', text: 'more tunnels inside of each other than are taken off' },
  { name: 'wrong-mac', text: 'inner frame for the MAC of another tunnel endpoint' },
  { name: 'not-routed', text: 'multicast or link-local destination in an L3 network: never routed' },
  { name: 'stray-heartbeat', text: 'heartbeat between weft nodes, for a network without heartbeats or from a station' },
  { name: 'static-neighbour', text: 'claims an IP address that is configured with another MAC (static neighbour)' },
] as const;

export type DropName = (typeof DROP_REASONS)[number]['name'];

export const DROP_COUNT = DROP_REASONS.length;

type DropTable = { readonly [N in DropName]: number };

/** Drop numbers by name: `DROP['too-big']`. */
export const DROP = Object.freeze(Object.fromEntries(DROP_REASONS.map((r, i) => [r.name, i]))) as DropTable;
