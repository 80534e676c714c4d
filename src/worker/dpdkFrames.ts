import { cpus } from 'node:os';
import { dpdk, type FramesState } from '../native/dpdk.js';
import { LARGE_STRIDE, SMALL_STRIDE, slotsPerWorker } from '../packet/arena.js';
import { WeftError } from '../packet/error.js';
import type { DpdkIdle } from '../pipeline/plan.js';
import type { NodeMemory } from './nodeMemory.js';

/**
 * DPDK under a node: its environment, once a process, and its pools over slots of the node's arena. The main thread starts it, and frees what a
 * dead worker held.
 */
export interface DpdkSettings {
  /** DPDK's own memory, for queues, headers and copies. */
  memoryMb: number;
  hugepages: boolean;
  /** CPUs that DPDK's own threads may use; null: all. */
  cores: number[] | null;
  /** Tells processes apart that use DPDK on one machine; null: by the process. */
  prefix: string | null;
  /** PCI devices are looked for. */
  pci: boolean;
  /** How workers wait for frames; `interrupt` where the device has it, else `sleep`. */
  idle: DpdkIdle;
}

export const DEFAULT_DPDK: DpdkSettings = {
  memoryMb: 128,
  hugepages: false,
  cores: null,
  prefix: null,
  pci: false,
  idle: 'interrupt',
};

/** A head is 2,432 bytes; half of the memory is left to queues. */
const HEADS_PER_MB = 128;

/** Arguments of the EAL. One lcore that floats: a thread pinned by DPDK would hand its CPU down to every thread that it starts. */
export function ealArguments(settings: DpdkSettings): string[] {
  const { memoryMb, hugepages, cores, prefix, pci } = settings;
  const all = cores ?? cpus().map((_, cpu) => cpu);
  return [
    ...(hugepages ? ['--in-memory'] : ['--no-huge', '--no-shconf']),
    ...(pci ? [] : ['--no-pci']),
    ...['-m', `${memoryMb}`, '--no-telemetry', '--iova-mode=va', '--lcores', `0@(${all.join(',')})`],
    ...['--file-prefix', prefix ?? `weft-${process.pid}`, '--log-level=4'],
  ];
}

/** Starts DPDK and lays its pools, unless that was done. */
export function layDpdkFrames(node: NodeMemory, settings: DpdkSettings): number {
  if (node.dpdkFrames !== 0) return node.dpdkFrames;
  const { arena, shape, slots } = node;
  const rows = shape.dpdkSlots;
  if (rows === undefined) {
    throw new WeftError('RESTART', 'the memory of this node has no slots for DPDK', {
      object: 'node.dpdk',
      remedy: 'restart the node with the new configuration, or give it `node: {dpdk: {}}` from the start',
    });
  }
  const addon = dpdk();
  addon.start(ealArguments(settings));
  node.dpdkFrames = addon.layFrames({
    arena: arena.bytes,
    holders: new Int32Array(slots.holders),
    small: { at: arena.dpdkAt, count: rows.small, stride: SMALL_STRIDE },
    large: { at: arena.dpdkAt + rows.small * SMALL_STRIDE, count: rows.large, stride: LARGE_STRIDE },
    firstSlot: shape.workers * slotsPerWorker(shape),
    heads: settings.memoryMb * HEADS_PER_MB,
  });
  return node.dpdkFrames;
}

export function dpdkFramesState(node: NodeMemory): FramesState | null {
  return node.dpdkFrames === 0 ? null : dpdk().framesState(node.dpdkFrames);
}

/** After all devices are closed and all workers have ended. */
export function dropDpdkFrames(node: NodeMemory): void {
  if (node.dpdkFrames === 0) return;
  dpdk().dropFrames(node.dpdkFrames);
  node.dpdkFrames = 0;
}
