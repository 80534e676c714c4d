import type { Command } from 'commander';
import type { PeerDocument } from '../observe/documents.js';
import { age, type Cell, endpointText, table } from './output.js';
import { defineRead } from './readVerb.js';

export function definePeers(program: Command): void {
  defineRead<PeerDocument[]>(program, {
    name: 'peers',
    path: '/v1/peers',
    summary: 'show the peers of each network: up or down, round-trip time, last heard, packets, failed sends',
    help: 'Examples:\n  weft peers\n  weft peers --json | jq ".[] | select(.lastHeardSec == null)"\n  weft peers --json | jq ".[] | select(.liveness.state == \\"down\\")"',
    text: peersText,
  });
}

export function peersText(peers: PeerDocument[]): string {
  if (peers.length === 0) return 'no peers';
  const hasPrefixes = peers.some((peer) => peer.prefixes.length > 0);
  const hasNextHops = peers.some((peer) => peer.nextHop !== null);
  const hasHeartbeats = peers.some((peer) => peer.liveness !== null);
  const rows = peers.map((peer) => [
    peer.network,
    peerText(peer),
    ...(hasHeartbeats ? livenessCells(peer) : []),
    ...(hasNextHops ? [nextHopText(peer)] : []),
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
    ...(hasHeartbeats ? LIVENESS_HEADER : []),
    ...(hasNextHops ? ['NEXT HOP'] : []),
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

/** The address, and in brackets where it comes from or where the peer is now. */
export function peerText(peer: PeerDocument): string {
  const at = peer.liveness?.at;
  const note = at ? `at ${endpointText(at)}` : peer.dynamic ? 'heard' : peer.direct ? 'direct' : '';
  return `${endpointText(peer)}${note && ` (${note})`}`;
}

/** `02:00:00:00:0a:02 (reachable)`; a router with its address. */
export function nextHopText({ address, nextHop }: PeerDocument): string | null {
  if (nextHop === null) return null;
  const { mac, state } = nextHop;
  const via = nextHop.address === address ? '' : `${nextHop.address} `;
  return `${via}${mac === null ? state : `${mac} (${state})`}`;
}

export const LIVENESS_HEADER = ['STATE', 'RTT', 'LOSS'];

export function livenessCells({ liveness }: PeerDocument): Cell[] {
  if (liveness === null) return [null, null, null];
  const { state, rttUs, loss } = liveness;
  const rtt = rttUs === null ? null : rttUs < 10_000 ? `${rttUs} us` : `${Math.round(rttUs / 1000)} ms`;
  return [state, rtt, `${Math.round(loss * 100)} %`];
}

/** The first two; `weft route` shows them all. */
function prefixesText(prefixes: string[]): string | null {
  if (prefixes.length === 0) return null;
  const more = prefixes.length > 2 ? ` and ${prefixes.length - 2} more` : '';
  return `${prefixes.slice(0, 2).join(', ')}${more}`;
}
