import type { Arena } from '../packet/arena.js';
import type { Burst } from '../packet/burst.js';
import type { ChecksumKernel } from '../packet/checksum.js';
import * as BareIp from './bareIp.js';
import * as Geneve from './geneve.js';
import * as Gre from './gre.js';
import * as Gue from './gue.js';
import type { TunnelKind, TunnelPlan } from './tunnel.js';
import * as Vxlan from './vxlan.js';

/** What every kind's module gives. */
export interface TunnelModule {
  /** Bytes of its header in front of sent packets. */
  headerLen(tunnel: TunnelPlan): number;
  /** Writes the header as a template; `innerProtocol` is an EtherType. */
  writeHeader(bytes: Uint8Array, at: number, tunnel: TunnelPlan, innerProtocol: number): void;
  /** Offsets in the header of what the sender fills in for each packet, -1 for none. */
  checksumOff(tunnel: TunnelPlan): number;
  sequenceOff(tunnel: TunnelPlan): number;
}

const none = () => -1;

const NOTHING: TunnelModule = { headerLen: () => 0, writeHeader() {}, checksumOff: none, sequenceOff: none };

const BARE_IP: TunnelModule = {
  headerLen: BareIp.headerLen,
  writeHeader: BareIp.writeHeader,
  checksumOff: none,
  sequenceOff: none,
};

const MODULES: Record<TunnelKind, TunnelModule> = {
  none: NOTHING,
  vxlan: { headerLen: Vxlan.headerLen, writeHeader: Vxlan.writeHeader, checksumOff: none, sequenceOff: none },
  geneve: { headerLen: Geneve.headerLen, writeHeader: Geneve.writeHeader, checksumOff: none, sequenceOff: none },
  gre: Gre,
  ipip: BARE_IP,
  fou: BARE_IP,
  gue: { headerLen: Gue.headerLen, writeHeader: Gue.writeHeader, checksumOff: none, sequenceOff: none },
};

export function moduleOf(kind: TunnelKind): TunnelModule {
  return MODULES[kind];
}

/** The decap of every kind, by its number: each handles its own of the lanes that `careful` names. */
export function bindDecaps(arena: Arena, burst: Burst, kernel: ChecksumKernel): ((count: number) => void)[] {
  // One function for both of its kinds: a second instance would be compiled for neither.
  const bareIp = BareIp.bindDecap(arena, burst);
  return [
    () => {},
    Vxlan.bindDecap(arena, burst),
    Geneve.bindDecap(arena, burst),
    Gre.bindDecap(arena, burst, kernel),
    bareIp,
    bareIp,
    Gue.bindDecap(arena, burst),
  ];
}
