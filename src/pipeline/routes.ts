import { buildRouteTable, writeRouteTable } from '../forward/routeTable.js';
import type { Arena } from '../packet/arena.js';
import { TO_PEER, TO_PORT } from '../packet/burst.js';
import { WeftError } from '../packet/error.js';
import * as Address from '../wire/address.js';
import type { Plan } from './plan.js';

/** Bytes of the route table of a plan. */
export function routeTableBytes(plan: Plan): number {
  return plan.routes.length === 0 ? 0 : tableOf(plan).byteLength;
}

function tableOf(plan: Plan): Int32Array {
  return buildRouteTable(
    plan.routes.map((route) => {
      const prefix = Address.cidrFromText(route.prefix);
      if (prefix === null) throw new WeftError('CONFIG', `route ${route.prefix} is not an IP prefix`);
      return { network: route.network, prefix, value: route.port > 0 ? TO_PORT | route.port : TO_PEER | route.peer };
    }),
  );
}

/**
 * Writes the routes of a plan into one half (0 or 1) of the arena's route region, which no worker may be reading, and returns where the table lies;
 * 0 when the plan has no routes. The control thread alone calls it.
 */
export function placeRoutes(arena: Arena, plan: Plan, half: number): number {
  const capacity = arena.shape.routeBytes >> 1;
  return writePlanRoutes(arena, plan, arena.routeAt + half * capacity, capacity);
}

/** The same at byte `at` of the arena, a multiple of 8, with room for `capacity` bytes. */
export function writePlanRoutes(arena: Arena, plan: Plan, at: number, capacity: number): number {
  if (plan.routes.length === 0) return 0;
  const table = tableOf(plan);
  if (table.byteLength > capacity) {
    throw new WeftError(
      'LIMIT',
      `${plan.routes.length} routes need ${table.byteLength} bytes, the node has ${capacity}`,
      {
        remedy: 'restart the node: the route table is made for the routes that it starts with, and as many again',
      },
    );
  }
  writeRouteTable(arena.words, at, capacity, table);
  return at;
}
