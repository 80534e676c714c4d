// Two namespaces joined by a veth that cuts and merges as a wire would, and sockets in them.
import { expect } from 'vitest';
import { type Tun, tun, type UdpRequest, type UdpSocket } from '../../src/native/tun.js';
import { joinByVeth, makeNamespace, namespacePath, runIn } from '../rig/namespaces.js';
import { type Binding, BURST, eventually, LAYOUT, makeBinding } from './binding.js';

/** Addresses of the two sides. */
export const SIDES = ['198.18.0.1', '198.18.0.2'] as const;

export const SIDES_V6 = ['fd00:12:0:0:0:0:0:1', 'fd00:12:0:0:0:0:0:2'] as const;

export type Datagram = { bytes: Uint8Array; gso: number; source: string; port: number; tos: number; flags: number };

/** A record of an error queue; `mtu` with EMSGSIZE. */
export type ErrorRecord = { source: string; port: number; errno: number; mtu: number; origin: number };

export interface UdpRig {
  addon: Tun;
  /** Path of the namespace of a side. */
  path(side: 0 | 1): string;
  /** Name of the namespace of a side. */
  names: readonly string[];
  /** Memory that is sent from and received into: fresh for every test. */
  out: Binding;
  into: Binding;
  /** Opens a socket on one side; closed by `reset`. */
  open(side: 0 | 1, settings?: Partial<UdpRequest>): UdpSocket;
  bindTx(...sockets: UdpSocket[]): (first: number, n: number) => number;
  bindRx(socket: UdpSocket): (max: number) => number;
  /** What arrives until `bytes` bytes are there. */
  receive(rx: (max: number) => number, bytes: number): Promise<Datagram[]>;
  /** IPv4 packets that have come to a side so far, whether a socket had room for them or not. */
  arrivals(side: 0 | 1): number;
  /** Waits until there were so many. */
  untilArrived(side: 0 | 1, packets: number): Promise<void>;
  /** What stands in error queues, as it comes, until there are `n` records. */
  errors(read: () => number, n: number): Promise<ErrorRecord[]>;
  /** Closes the sockets, makes the memory anew. */
  reset(): void;
}

export function openUdpRig(label: string): UdpRig {
  const addon = tun();
  const names = [makeNamespace(`${label}A`), makeNamespace(`${label}B`)];
  joinByVeth(
    { namespace: names[0], device: 'v0', address: `${SIDES[0]}/24` },
    { namespace: names[1], device: 'v0', address: `${SIDES[1]}/24` },
  );
  for (const [side, name] of names.entries()) {
    addon.addressAdd({ netns: namespacePath(name), name: 'v0', address: `${SIDES_V6[side]}/64`, noDad: true });
  }
  // Segments are cut in front of the veth and merged behind it.
  runIn(names[0], 'ethtool', '-K', 'v0', 'tx', 'off');
  runIn(names[1], 'ethtool', '-K', 'v0', 'gro', 'on');
  const descriptors: number[] = [];
  const rig: UdpRig = {
    addon,
    path: (side) => namespacePath(names[side]),
    names,
    out: makeBinding(),
    into: makeBinding(),
    open(side, settings = {}) {
      const address = (settings.family === 6 ? SIDES_V6 : SIDES)[side];
      const socket = addon.udpOpen({ netns: rig.path(side), family: 4, address, port: 0, ...settings });
      descriptors.push(socket.fd);
      return socket;
    },
    bindTx(...sockets) {
      const fds = sockets.map(({ fd }) => fd);
      return addon.bindUdpTx(rig.out.arena, rig.out.io, LAYOUT, fds, rig.out.destinations);
    },
    bindRx: ({ fd }) => addon.bindUdpRx(rig.into.arena, rig.into.io, LAYOUT, fd),
    async receive(rx, bytes) {
      const { columns, received, source } = rig.into;
      const found: Datagram[] = [];
      let total = 0;
      await eventually(() => {
        const n = rx(BURST);
        expect(n).toBeGreaterThanOrEqual(0);
        for (let i = 0; i < n; i++) {
          const { rxGso, rxPort, rxTos, rxFlags } = columns;
          const [gso, port, tos, flags] = [rxGso[i], rxPort[i], rxTos[i], rxFlags[i]];
          found.push({ bytes: received(i), gso, source: source(i), port, tos, flags });
          total += columns.rxLen[i];
        }
        return total >= bytes ? true : undefined;
      });
      return found;
    },
    arrivals(side) {
      const lines = runIn(names[side], 'cat', '/proc/net/snmp').split('\n');
      const [titles, figures] = lines.filter((line) => line.startsWith('Ip: ')).map((line) => line.split(' '));
      return Number(figures[titles.indexOf('InReceives')]);
    },
    async untilArrived(side, packets) {
      await eventually(() => (rig.arrivals(side) >= packets ? true : undefined));
    },
    async errors(read, n) {
      const { rxPort, rxLen, rxGso, rxFlags } = rig.into.columns;
      const found: ErrorRecord[] = [];
      await eventually(() => {
        const count = read();
        for (let i = 0; i < count; i++) {
          const [port, errno, mtu, origin] = [rxPort[i], rxLen[i], rxGso[i], rxFlags[i]];
          found.push({ source: rig.into.source(i), port, errno, mtu, origin });
        }
        return found.length >= n ? true : undefined;
      });
      return found;
    },
    reset() {
      for (const fd of descriptors.splice(0)) addon.close(fd);
      rig.out = makeBinding();
      rig.into = makeBinding();
    },
  };
  return rig;
}
