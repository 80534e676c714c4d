/**
 * The public API of weft: make a node of a configuration, start it, look at it, change it, stop it.
 *
 * ```ts
 * const node = createNode({ underlays: [...], networks: [...] });
 * await node.start();
 * console.log(node.status());
 * await node.stop();
 * ```
 *
 * And captures through the same code, without devices:
 *
 * ```ts
 * const report = await replay({ config, inputs: [{ file: 'in.pcap' }], out: 'out.pcapng' });
 * const { ok } = await judge(report, { capture: 'golden.pcapng' });
 * ```
 */
export { type CheckResult, ConfigError, checkText, checkValue, type Problem } from './control/config/check.js';
export {
  type Config,
  type ConfigInput,
  configJsonSchema,
  type NetworkConfig,
  type NetworkInput,
  type PeerInput,
  type PortConfig,
  type PortInput,
  type StaticMacInput,
  type UnderlayConfig,
} from './control/config/config.js';
export { createNode, type Node, type NodeEvents, type NodeOptions, type ReloadOptions } from './control/node.js';
export { RestartError } from './control/reload.js';
export type { CaptureOptions, CaptureStream } from './observe/capture.js';
export type { WorkerState } from './observe/dataplane.js';
export type * from './observe/documents.js';
export type { Account } from './packet/counters.js';
export { DROP_REASONS, type DropName } from './packet/drop.js';
export { WeftError, type WeftErrorCode, type WeftErrorDetails } from './packet/error.js';
export {
  type CompareOptions,
  type Comparison,
  compareCaptures,
  type FieldDifference,
  type PacketDifference,
} from './replay/compare.js';
export { comparisonText } from './replay/comparisonText.js';
export { type Dissection, dissect, type Field, type Layer } from './replay/dissect.js';
export { junitXml } from './replay/junit.js';
export type * from './replay/options.js';
export { replay } from './replay/replay.js';
export { outcome } from './replay/report.js';
export { type RewriteOptions, rewrite } from './replay/rewrite.js';
export { type CounterDifference, type Expectation, judge, type Verdict } from './replay/verdict.js';
