import type { Command } from 'commander';
import type { PeerDocument } from '../observe/documents.js';
import { age, table } from './output.js';
import { defineRead } from './readVerb.js';

export function definePeers(program: Command): void {
  defineRead<PeerDocument[]>(program, {
    name: 'peers',
    path: '/v1/peers',
    summary: 'show the peers of each network: last heard, packets, failed sends',
    help: 'Examples:\n  weft peers\n  weft peers --json | jq ".[] | select(.lastHeardSec == null)"',
    text: peersText,
  });
}

export function peersText(peers: PeerDocument[]): string {
  if (peers.length === 0) return 'no peers';
  const rows = peers.map((peer) => [
    peer.network,
    `${peer.address}:${peer.udpPort}${peer.dynamic ? ' (heard)' : ''}`,
    age(peer.lastHeardSec),
    peer.rxPackets,
    peer.txPackets,
    peer.failedSends,
    peer.icmpErrors,
    peer.lastError,
    peer.dropped,
  ]);
  return table(
    ['NETWORK', 'PEER', 'LAST HEARD', 'RECEIVED', 'SENT', 'FAILED', 'ICMP ERRORS', 'LAST ERROR', 'DROPPED'],
    rows,
  );
}
