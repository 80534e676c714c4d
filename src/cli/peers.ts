import type { Command } from 'commander';
import type { PeerDocument } from '../observe/documents.js';
import { age, endpointText, table } from './output.js';
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
  const hasPrefixes = peers.some((peer) => peer.prefixes.length > 0);
  const rows = peers.map((peer) => [
    peer.network,
    `${endpointText(peer)}${peer.dynamic ? ' (heard)' : peer.direct ? ' (direct)' : ''}`,
    peer.pathMtu ? `${peer.mtu} (${peer.pathMtu.why})` : String(peer.mtu),
    age(peer.lastHeardSec),
    peer.rxPackets,
    peer.txPackets,
    peer.failedSends,
    peer.icmpErrors,
    peer.lastError,
    peer.dropped,
    ...(hasPrefixes ? [prefixesText(peer.prefixes)] : []),
  ]);
  const header = [
    'NETWORK',
    'PEER',
    'MTU',
    'LAST HEARD',
    'RECEIVED',
    'SENT',
    'FAILED',
    'ICMP ERRORS',
    'LAST ERROR',
    'DROPPED',
  ];
  return table(hasPrefixes ? [...header, 'PREFIXES'] : header, rows);
}

/** The first two; `weft route` shows them all. */
function prefixesText(prefixes: string[]): string | null {
  if (prefixes.length === 0) return null;
  const more = prefixes.length > 2 ? ` and ${prefixes.length - 2} more` : '';
  return `${prefixes.slice(0, 2).join(', ')}${more}`;
}
