import type { Arena } from '../packet/arena.js';
import type { Burst } from '../packet/burst.js';
import { NETWORKS_MAX } from '../packet/counters.js';
import { DROP } from '../packet/drop.js';
import { KIND, type TunnelPlan } from './tunnel.js';

/**
 * Options of received Geneve packets against what their network says (RFC 8926 section 3.5): a critical type that it does not name drops the
 * packet, and so does a wanted option that is missing or has other data. A network understands the types that it matches and those that it
 * sends. What decides is the type's critical bit, not the header's C bit, which Linux leaves clear.
 */
export interface OptionCheck {
  /** Between two turns. null: a network that knows no option. */
  configure(network: number, tunnel: TunnelPlan | null): void;
  /** Lanes of this kind behind decap and admission: `network` is known, and `metaLen` bytes of options in front of `at` fill it exactly. */
  check(n: number): void;
}

/**
 * Rules of one network, flat:
 *
 *   [ understood | matches | type... | match... ]
 *   type:   class << 8 | type
 *   match:  class << 8 | type, words of data or -1 for any, words...          words big-endian
 */
const NO_RULES = Int32Array.of(0, 0);
const UNDERSTOOD = 0;
const MATCHES = 1;
const FIRST = 2;
const ANY_DATA = -1;

const typeKey = (option: { class: number; type: number }) => (option.class << 8) | option.type;

function dataWords(data: Uint8Array): number[] {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  return Array.from({ length: data.length >> 2 }, (_, word) => view.getInt32(word * 4));
}

function compileRules(tunnel: TunnelPlan | null): Int32Array {
  if (tunnel === null || tunnel.kind !== 'geneve') return NO_RULES;
  const understood = new Set([...tunnel.match, ...tunnel.options].map(typeKey));
  const matches = tunnel.match.flatMap(({ data, ...type }) =>
    data === null ? [typeKey(type), ANY_DATA] : [typeKey(type), data.length >> 2, ...dataWords(data)],
  );
  return Int32Array.of(understood.size, tunnel.match.length, ...understood, ...matches);
}

export function bindOptions(arena: Arena, burst: Burst): OptionCheck {
  const { view } = arena;
  const { at, drop, tunnel, network, metaLen } = burst;
  const kind = KIND.geneve;
  const criticalOption = DROP['critical-option'];
  const optionMismatch = DROP['option-mismatch'];
  const rulesOf: Int32Array[] = Array.from({ length: NETWORKS_MAX }, () => NO_RULES);
  /** Whether any network wants an option: without, a burst that has none is done after a look at `metaLen`. */
  let isAnyWanted = false;

  function understandsAll(rules: Int32Array, from: number, end: number): boolean {
    const typesEnd = FIRST + rules[UNDERSTOOD];
    for (let o = from; o < end; o += 4 + ((view.getUint8(o + 3) & 0x1f) << 2)) {
      const type = view.getInt32(o) >>> 8;
      if ((type & 0x80) === 0) continue;
      let r = FIRST;
      while (r < typesEnd && rules[r] !== type) r++;
      if (r === typesEnd) return false;
    }
    return true;
  }

  /** Whether the option at `o` is what the match at `m` wants. */
  function isWanted(rules: Int32Array, m: number, o: number): boolean {
    const first = view.getInt32(o);
    if (first >>> 8 !== rules[m]) return false;
    const words = rules[m + 1];
    if (words === ANY_DATA) return true;
    if ((first & 0x1f) !== words) return false;
    for (let k = 0; k < words; k++) if (view.getInt32(o + 4 + k * 4) !== rules[m + 2 + k]) return false;
    return true;
  }

  function hasAllWanted(rules: Int32Array, from: number, end: number): boolean {
    let m = FIRST + rules[UNDERSTOOD];
    for (let left = rules[MATCHES]; left > 0; left--) {
      let o = from;
      while (o < end && !isWanted(rules, m, o)) o += 4 + ((view.getUint8(o + 3) & 0x1f) << 2);
      if (o >= end) return false;
      m += rules[m + 1] === ANY_DATA ? 2 : 2 + rules[m + 1];
    }
    return true;
  }

  return {
    configure(id, plan) {
      rulesOf[id] = compileRules(plan);
      isAnyWanted = rulesOf.some((rules) => rules[MATCHES] > 0);
    },
    check(n) {
      let seen = 0;
      for (let i = 0; i < n; i++) seen |= metaLen[i];
      if (seen === 0 && !isAnyWanted) return;
      for (let i = 0; i < n; i++) {
        if (drop[i] !== 0 || tunnel[i] !== kind) continue;
        const meta = metaLen[i];
        const rules = rulesOf[network[i]];
        if (meta === 0 && rules[MATCHES] === 0) continue;
        const end = at[i];
        if (!understandsAll(rules, end - meta, end)) drop[i] = criticalOption;
        else if (!hasAllWanted(rules, end - meta, end)) drop[i] = optionMismatch;
      }
    },
  };
}
