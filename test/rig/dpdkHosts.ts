// Three hosts for nodes that have devices of DPDK alone: W runs weft, K is its peer on the underlay, S a station of the overlay.
import type { ConfigInput } from '../../src/control/config/config.js';
import { makeQuietNamespace } from './hosts.js';
import { joinByVeth, runIn, type VethEnd } from './namespaces.js';

export const OWN_MAC = '02:00:00:00:0a:01';
/** MTU of the overlay over IPv6. */
export const STATION_MTU = 1430;

export interface DpdkHosts {
  weft: string;
  /** The other end of the underlay, with 198.18.0.2. */
  peer: VethEnd;
  /** The station, with 10.0.0.1. */
  station: VethEnd;
}

/** DPDK's `net_af_packet` on two veths of W, `ua` and `pa`, which have no addresses: the kernel of W has no part in anything. */
export function makeDpdkHosts(): DpdkHosts {
  const weft = makeQuietNamespace('w');
  const peer = { namespace: makeQuietNamespace('k'), device: 'ub', address: '198.18.0.2/24' };
  const station = { namespace: makeQuietNamespace('s'), device: 's0', address: '10.0.0.1/24' };
  const own = (device: string) => ({ namespace: weft, device, address: '192.0.2.1/32' });
  joinByVeth(own('ua'), peer);
  joinByVeth(own('pa'), station);
  for (const device of ['ua', 'pa']) runIn(weft, 'ip', 'address', 'flush', 'dev', device);
  // A device without offloads gets frames as they are.
  for (const { namespace, device } of [peer, station]) runIn(namespace, 'ethtool', '-K', device, 'tx', 'off');
  runIn(station.namespace, 'ip', 'link', 'set', station.device, 'mtu', `${STATION_MTU}`);
  return { weft, peer, station };
}

type Frame = NonNullable<NonNullable<ConfigInput['underlays']>[number]['frame']>;

export function dpdkNode(address: string, peer: string, frame: Partial<Frame> = {}): ConfigInput {
  const devargs = 'net_af_packet0,iface=ua';
  return {
    underlays: [{ name: 'lan', kind: 'frame', address, frame: { type: 'dpdk', devargs, mac: OWN_MAC, ...frame } }],
    networks: [
      {
        name: 'blue',
        vni: 42,
        underlay: 'lan',
        mtu: STATION_MTU,
        peers: [peer],
        ports: [{ type: 'dpdk', name: 'station', devargs: 'net_af_packet1,iface=pa' }],
      },
    ],
  };
}
