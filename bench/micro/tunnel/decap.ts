import { attachArena, createArenaMemory, DEFAULT_SHAPE, slotStart } from '../../../dist/packet/arena.js';
import { createBurst, LANES } from '../../../dist/packet/burst.js';
import { instantiateChecksum } from '../../../dist/packet/checksum.js';
import { bindOptions } from '../../../dist/tunnel/geneveOptions.js';
import { bindDecaps, moduleOf } from '../../../dist/tunnel/modules.js';
import { KIND, type TunnelPlan, tunnelPlan } from '../../../dist/tunnel/tunnel.js';
import * as Gre from '../../../dist/wire/gre.js';
import * as Ipv4 from '../../../dist/wire/ipv4.js';
import type { Case } from '../cases.js';

const INNER_BYTES = 64;
const ID = 42;
const NETWORK = 1;
const ETHERNET = 0x6558;
const IPV4 = 0x0800;

const option = (type: number) => ({ class: 0x0102, type, data: new Uint8Array(4) });
const VARIANTS: { name: string; plan: TunnelPlan }[] = [
  { name: 'VXLAN', plan: tunnelPlan('vxlan', ID) },
  { name: 'Geneve', plan: tunnelPlan('geneve', ID) },
  { name: 'Geneve, one option', plan: tunnelPlan('geneve', ID, { options: [option(0x80)] }) },
  { name: 'Geneve, three options', plan: tunnelPlan('geneve', ID, { options: [option(0x80), option(1), option(2)] }) },
  { name: 'GRE', plan: tunnelPlan('gre') },
  { name: 'GRE, key and sequence number', plan: tunnelPlan('gre', ID, { sequence: true }) },
  { name: 'GRE, key and checksum', plan: tunnelPlan('gre', ID, { checksum: true }) },
  { name: 'IPIP', plan: tunnelPlan('ipip') },
  { name: 'IP in UDP', plan: tunnelPlan('fou') },
  { name: 'GUE', plan: tunnelPlan('gue') },
];

/**
 * Decap alone, a burst of one kind in the cache. Decap moves its lanes, so each call puts them back first; that has a case of its own.
 * Admission, which follows for every kind alike, is part of the suite `in`.
 */
export function decapCases(): Case[] {
  const shape = { ...DEFAULT_SHAPE, workers: 1 };
  const arena = attachArena(createArenaMemory(shape), shape);
  const burst = createBurst();
  const decaps = bindDecaps(arena, burst, instantiateChecksum(arena.memory));
  const options = bindOptions(arena, burst);
  burst.network.fill(NETWORK);
  // Behind Ethernet, IPv4 and UDP.
  const positions = Int32Array.from({ length: LANES }, (_, i) => slotStart(arena, i) + 42);
  const lengths = new Int32Array(LANES);

  function lay(plan: TunnelPlan): void {
    const { headerLen, writeHeader } = moduleOf(plan.kind);
    const isBare = plan.payload === 'ip';
    const header = headerLen(plan);
    for (const at of positions) {
      writeHeader(arena.bytes, at, plan, isBare ? IPV4 : ETHERNET);
      if (isBare) Ipv4.write(arena.bytes, at + header, 0, INNER_BYTES, 0, 0, 64, 17, 1, 2);
      if (plan.checksum) Gre.writeChecksum(arena.bytes, at, at + header + INNER_BYTES);
    }
    lengths.fill(header + INNER_BYTES);
    burst.tunnel.fill(KIND[plan.kind]);
    burst.drop.fill(0);
    options.configure(NETWORK, plan);
  }

  function putBack(): void {
    burst.at.set(positions);
    burst.len.set(lengths);
  }

  // The memory is one for all cases: each lays its packets at the first call behind another's.
  let laid = '';
  function decapCase(name: string, plan: TunnelPlan, checksOptions: boolean): Case {
    const decap = decaps[KIND[plan.kind]];
    const run = () => {
      if (laid !== name) {
        lay(plan);
        laid = name;
      }
      putBack();
      decap(LANES);
      if (checksOptions) options.check(LANES);
      if (burst.drop[LANES - 1] !== 0) throw new Error(`${name}: dropped`);
    };
    return { name: `decap: ${name}`, operations: LANES, run };
  }

  return [
    { name: 'decap: lanes put back', operations: LANES, run: putBack },
    ...VARIANTS.map(({ name, plan }) => decapCase(name, plan, false)),
    ...VARIANTS.filter(({ plan }) => plan.kind === 'geneve').map(({ name, plan }) =>
      decapCase(`${name}, and its options checked`, plan, true),
    ),
  ];
}
