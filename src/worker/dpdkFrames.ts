import { readdirSync, readFileSync } from 'node:fs';
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
  hugepages: boolean | 'auto';
  /** CPUs that DPDK's own threads may use; null: all. */
  cores: number[] | null;
  /** Tells processes apart that use DPDK on one machine; null: by the process. */
  prefix: string | null;
  /** PCI devices are looked for. */
  pci: boolean;
  /** How workers wait for frames; `interrupt` where the device has it, else `sleep`. */
  idle: DpdkIdle;
}

/** A head is 2,432 bytes; half of the memory is left to queues. */
const HEADS_PER_MB = 128;

const POOLS = '/sys/kernel/mm/hugepages';
const POOL = '/sys/kernel/mm/hugepages/hugepages-2048kB';
const HUGEPAGE_MB = 2;
/** What the EAL takes beside the memory that it is asked for. */
const HUGEPAGES_SPARE = 8;

/** Whether so much memory is free in huge pages of the machine. */
export function hasFreeHugepages(memoryMb: number, pool = POOL): boolean {
  const read = (name: string) => Number(readFileSync(`${pool}/${name}`, 'utf8'));
  try {
    const free = read('free_hugepages') - read('resv_hugepages');
    return free >= memoryMb / HUGEPAGE_MB + HUGEPAGES_SPARE;
  } catch {
    return false;
  }
}

/** Memory in free huge pages of all sizes, in MiB. */
export function freeHugepagesMb(pools = POOLS): number {
  const freeKb = (pool: string) => {
    const sizeKb = Number(/^hugepages-(\d+)kB$/.exec(pool)?.[1] ?? 0);
    return sizeKb * Number(readFileSync(`${pools}/${pool}/free_hugepages`, 'utf8'));
  };
  try {
    return readdirSync(pools).reduce((sum, pool) => sum + freeKb(pool), 0) / 1024;
  } catch {
    return 0;
  }
}

/** Before DPDK is started with them: it starts once in a process, and not again after it has failed. */
function requireHugepages({ hugepages, memoryMb }: DpdkSettings): void {
  const freeMb = hugepages === true ? freeHugepagesMb() : memoryMb;
  if (freeMb >= memoryMb) return;
  const wanted = Math.ceil(memoryMb / HUGEPAGE_MB) + HUGEPAGES_SPARE;
  throw new WeftError('DEVICE', `node.dpdk: ${memoryMb} MiB of huge pages are asked for, and ${freeMb} are free`, {
    object: 'node.dpdk',
    remedy: `reserve more (echo ${wanted} > ${POOL}/nr_hugepages), lower \`memoryMb\`, or set \`hugepages: auto\``,
  });
}

/** What `auto` came to: DPDK starts once in a process, and the nodes after the first have the same memory. */
let tookHugepages: boolean | undefined;

function takesHugepages({ hugepages, memoryMb }: DpdkSettings): boolean {
  if (hugepages !== 'auto') return hugepages;
  tookHugepages ??= hasFreeHugepages(memoryMb);
  return tookHugepages;
}

/** Arguments of the EAL. One lcore that floats: a thread pinned by DPDK would hand its CPU down to every thread that it starts. */
export function ealArguments(settings: DpdkSettings): string[] {
  const { memoryMb, cores, prefix, pci } = settings;
  const all = cores ?? cpus().map((_, cpu) => cpu);
  return [
    ...(takesHugepages(settings) ? ['--in-memory'] : ['--no-huge', '--no-shconf']),
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
    throw new WeftError('RESTART', 'the memory of this node has no room for the slots of DPDK', {
      object: 'node.dpdk',
      remedy: 'restart the node with the new configuration, and with fewer slots in node.arena if that is too much',
    });
  }
  const addon = dpdk();
  requireHugepages(settings);
  addon.start(ealArguments(settings));
  node.dpdkFrames = addon.layFrames({
    arena: arena.bytes,
    holders: new Int32Array(slots.holders),
    small: { at: arena.dpdkAt, count: rows.small, stride: SMALL_STRIDE },
    large: { at: arena.dpdkAt + rows.small * SMALL_STRIDE, count: rows.large, stride: LARGE_STRIDE },
    firstSlot: shape.workers * slotsPerWorker(shape),
    heads: settings.memoryMb * HEADS_PER_MB,
    workers: arena.partitions.map(({ largeAt }, place) => ({
      at: largeAt,
      count: shape.largeSlots,
      stride: LARGE_STRIDE,
      firstSlot: place * slotsPerWorker(shape) + shape.smallSlots,
    })),
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
