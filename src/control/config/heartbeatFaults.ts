/**
 * Checks of a network's heartbeats against what they need.
 */
import type { Located } from './faults.js';
import { type Item, items, record, wordsOf } from './written.js';

export function heartbeatFaults({ path, value }: Item, underlays: Item[]): Located[] {
  const faults: Located[] = [];
  const heartbeat = record(value.heartbeat);
  const { intervalMs = 1000, timeoutMs = 5000 } = heartbeat ?? {};
  if (typeof intervalMs === 'number' && typeof timeoutMs === 'number' && timeoutMs <= intervalMs)
    faults.push({
      path: [...path, 'heartbeat'],
      message: `a timeout of ${timeoutMs} ms is over before the next heartbeat, which comes after ${intervalMs} ms`,
      remedy: `set timeoutMs to ${3 * intervalMs} or more`,
    });
  const names = wordsOf(value.underlay);
  if (heartbeat && underlays.some((u) => u.value.kind === 'frame' && names.includes(String(u.value.name))))
    faults.push({
      path: [...path, 'heartbeat'],
      atKey: true,
      message: 'heartbeats are sent through sockets, and the underlay is one of frames',
      remedy: 'remove it, or use an underlay with kind: udp',
    });
  if (value.probeMtu === true && !heartbeat)
    faults.push({
      path: [...path, 'probeMtu'],
      message: 'paths are probed by heartbeats, and the network has none',
      remedy: 'add heartbeat: {} at all nodes of the network, or remove it',
    });
  return [...faults, ...roamFaults({ path, value })];
}

function roamFaults(network: Item): Located[] {
  const { path, value } = network;
  const roaming = items(value, path, 'peers').find((peer) => peer.value.roams === true);
  if (!roaming) return [];
  const at = { path: [...roaming.path, 'roams'] };
  const heartbeat = record(value.heartbeat);
  if (heartbeat?.key === undefined)
    return [
      {
        ...at,
        message: 'a peer is followed to another address only when heartbeats prove that it is there',
        remedy: 'add heartbeat: {key: SECRET} at all nodes of the network',
      },
    ];
  if (value.unknownPeers === 'accept')
    return [
      {
        ...at,
        message: 'the network takes packets from anybody as from a peer of its own, so nobody can be followed',
        remedy: 'remove unknownPeers: accept, or roams',
      },
    ];
  if (value.routing === 'direct' || value.routing === 'crossSubnet')
    return [
      {
        ...at,
        message: `with routing: ${value.routing} the kernel routes to peers, and does not follow them`,
        remedy: 'remove routing, or roams',
      },
    ];
  return [];
}
