/**
 * What of a node's memory its configuration decides: it is made once, at the start.
 */
import type { ArenaShape } from '../packet/arena.js';
import type { Config } from './config/config.js';
import { dpdkSlotsOf } from './devices/dpdkDevices.js';
import { neighbourBytesOf } from './plan/neighbours.js';
import { routeBytesOf } from './plan/routeRoom.js';

/** Slots, tables of neighbours and routes, and slots of DPDK; what is not here has its default. */
export function arenaShapeOf(config: Config): Partial<ArenaShape> {
  return {
    ...config.node.arena,
    neighbourBytes: neighbourBytesOf(config),
    routeBytes: routeBytesOf(config),
    dpdkSlots: dpdkSlotsOf(config),
  };
}
