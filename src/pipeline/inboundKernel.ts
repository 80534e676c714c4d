import { readFileSync } from 'node:fs';
import type { Allocate, Arena } from '../packet/arena.js';
import type { Burst } from '../packet/burst.js';
import type { Outbox } from '../packet/outbox.js';
import type { TunnelKernel } from '../tunnel/kernel.js';
import { type OuterKernel, RULE_WORDS } from '../underlay/kernel.js';
import { bindAddresses } from './walkKernel.js';

/** Loads the kernel of the way in (inbound.as.ts), as walkKernel.ts does the walk's. */
export type InboundKernel = OuterKernel & TunnelKernel;

type Exports = InboundKernel & { bind(lanes: number, sources: number, rules: number): void };

export function instantiateInbound(arena: Arena, burst: Burst, outbox: Outbox, allocate: Allocate): InboundKernel {
  const module = new WebAssembly.Module(readFileSync(new URL('./inbound.wasm', import.meta.url)));
  const { memory } = arena;
  const exports = new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as Exports;
  const { address, run } = bindAddresses(memory);
  const rules = allocate(RULE_WORDS);
  exports.bind(run(Object.values(burst)), address(outbox.rxSrc), address(rules));
  const { outer, decap, admit } = exports;
  return { outer, decap, admit, rules };
}
