/**
 * What the encapsulations have in common: the closed list of kinds, what a network says about its own, and the shape that every module of
 * this folder has.
 *
 *   vxlan    RFC 7348, with GPE (draft-ietf-nvo3-vxlan-gpe) and GBP      UDP 4789 (GPE 4790)   Ethernet; GPE also IP
 *   geneve   RFC 8926                                                    UDP 6081              Ethernet or IP
 *   gre      RFC 2784, RFC 2890                                          IP protocol 47        Ethernet or IP
 *   ipip     RFC 2003, RFC 2473, RFC 4213                                IP protocol 4, 41     IP
 *   fou      an IP packet as the UDP payload (Linux fou, flannel udp)    UDP 8285              IP
 *   gue      draft-ietf-intarea-gue, version 0                           UDP 6080              IP
 */
export const TUNNEL_KINDS = ['none', 'vxlan', 'geneve', 'gre', 'ipip', 'fou', 'gue'] as const;
export type TunnelKind = (typeof TUNNEL_KINDS)[number];

/** Number of a kind: value of the lane column `tunnel`. */
export const KIND: { readonly [K in TunnelKind]: number } = {
  none: 0,
  vxlan: 1,
  geneve: 2,
  gre: 3,
  ipip: 4,
  fou: 5,
  gue: 6,
};

/** Default UDP ports; 0 for what is an IP protocol of its own. */
export const DEFAULT_PORT: { readonly [K in TunnelKind]: number } = {
  none: 0,
  vxlan: 4789,
  geneve: 6081,
  gre: 0,
  ipip: 0,
  fou: 8285,
  gue: 6080,
};

/** One Geneve option (RFC 8926 section 3.5): class, type with the critical bit 0x80, data of 0 to 124 bytes, a multiple of four. */
export interface GeneveOption {
  class: number;
  type: number;
  data: Uint8Array;
}

/** An option that packets must have to be accepted; `data` null: whatever its data. */
export interface GeneveMatch {
  class: number;
  type: number;
  data: Uint8Array | null;
}

/** The encapsulation of one network. Fields of other kinds keep their defaults (see `tunnelPlan`). */
export interface TunnelPlan {
  kind: TunnelKind;
  /** VNI (vxlan, geneve: 24 bits) or key (gre: 32 bits, signed or unsigned); 0 without. */
  id: number;
  /** gre: the key field is present. */
  hasKey: boolean;
  /** Own UDP port of the encapsulation; 0 for gre and ipip. */
  udpPort: number;
  /** What it carries: whole Ethernet frames or bare IP packets. An L3 network over `ethernet` has an inner header of its own (vtepMac). */
  payload: 'ethernet' | 'ip';
  /** vxlan: Generic Protocol Extension header. */
  gpe: boolean;
  /** vxlan: group policy id of sent packets, -1 for none. */
  group: number;
  /** geneve: options of sent packets. */
  options: readonly GeneveOption[];
  /** geneve: options that received packets must have; their types are understood, others that are critical are not. */
  match: readonly GeneveMatch[];
  /** geneve: options of a packet that a bridge relays go along (`pass`) or are left out (`strip`). */
  relayOptions: 'pass' | 'strip';
  /** gre: checksum field on transmit. Received ones are verified always. */
  checksum: boolean;
  /** gre: sequence numbers on transmit; with it, received packets that are out of order are dropped (RFC 2890 section 2.2). */
  sequence: boolean;
}

/** A plan of one kind with everything else at its default. */
export function tunnelPlan(kind: TunnelKind, id = 0, rest: Partial<TunnelPlan> = {}): TunnelPlan {
  return {
    kind,
    id,
    hasKey: kind === 'gre' && id !== 0,
    udpPort: kind === 'vxlan' && rest.gpe === true ? 4790 : DEFAULT_PORT[kind],
    payload: kind === 'ipip' || kind === 'fou' || kind === 'gue' ? 'ip' : 'ethernet',
    gpe: false,
    group: -1,
    options: [],
    match: [],
    relayOptions: 'pass',
    checksum: false,
    sequence: false,
    ...rest,
  };
}
