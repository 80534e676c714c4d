import type { Arena } from '../packet/arena.js';
import type { Burst } from '../packet/burst.js';
import { type ChecksumKernel, fold } from '../packet/checksum.js';
import { DROP } from '../packet/drop.js';
import type { Outbox } from '../packet/outbox.js';
import type { Port } from '../port/port.js';
import type { FrameUnderlay } from './underlay.js';

/**
 * A frame underlay: whole outer frames (Ethernet, IPv4, UDP) through a device that is a port like any other: memory, pcap, later DPDK.
 *
 * rx checks the outer headers once and leaves the lanes at the tunnel header, where decap goes on as for a socket.
 */
export interface FrameUnderlayOptions {
  id: number;
  name: string;
  device: Port;
  /** Own address, big-endian number, and UDP port. */
  address: number;
  udpPort: number;
  tos: number;
  checksum: boolean;
  deliverOffloadLeak: boolean;
}

const ETHERNET = 14;
const UDP = 8;
const IPV4_MAPPED = 0xffff0000 | 0; // 00 00 ff ff as a little-endian word

export function bindFrameUnderlays(arena: Arena, burst: Burst, outbox: Outbox, kernel: ChecksumKernel) {
  const { view } = arena;
  const { at, len, drop, from, outerTos } = burst;
  const { rxSrc } = outbox;

  /** RFC 768: a zero checksum means none. Lengths of the header and the buffer agree already. */
  function udpChecksumIsRight(ip: number, udp: number, udpLen: number): boolean {
    if (view.getUint16(udp + 6) === 0) return true;
    const pseudo = kernel.sum(ip + 12, 8) + (17 << 8) + (((udpLen & 0xff) << 8) | (udpLen >>> 8));
    return fold(pseudo + kernel.sum(udp, udpLen)) === 0xffff;
  }

  /** Drop reason of the outer headers of lane i, or 0 and the lane stands at the tunnel header. */
  function checkOuter(i: number, address: number, udpPort: number): number {
    const o = at[i];
    const end = o + len[i];
    const ip = o + ETHERNET;
    if (len[i] < ETHERNET) return DROP['malformed-outer'];
    if (view.getUint16(o + 12) !== 0x0800) return DROP['not-for-us'];
    if (end - ip < 20) return DROP['malformed-outer'];
    const versionIhl = view.getUint8(ip);
    const headerLen = (versionIhl & 15) << 2;
    const totalLen = view.getUint16(ip + 2);
    if (versionIhl >>> 4 !== 4 || headerLen < 20 || totalLen < headerLen || totalLen > end - ip)
      return DROP['malformed-outer'];
    if (kernel.sum(ip, headerLen) !== 0xffff) return DROP['outer-checksum'];
    if (view.getUint8(ip + 9) !== 17 || view.getInt32(ip + 16) !== address) return DROP['not-for-us'];
    if ((view.getUint16(ip + 6) & 0x3fff) !== 0) return DROP['outer-fragment'];
    const udp = ip + headerLen;
    if (totalLen - headerLen < UDP) return DROP['malformed-outer'];
    const udpLen = view.getUint16(udp + 4);
    if (view.getUint16(udp + 2) !== udpPort) return DROP['not-for-us'];
    if (udpLen < UDP || udpLen > totalLen - headerLen) return DROP['malformed-outer'];
    if (!udpChecksumIsRight(ip, udp, udpLen)) return DROP['outer-checksum'];
    outerTos[i] = view.getUint8(ip + 1);
    const s = i << 2;
    rxSrc[s] = 0;
    rxSrc[s + 1] = 0;
    rxSrc[s + 2] = IPV4_MAPPED;
    rxSrc[s + 3] = view.getInt32(ip + 12, true);
    at[i] = udp + UDP;
    len[i] = udpLen - UDP;
    return 0;
  }

  function checkBurst(n: number, address: number, udpPort: number): void {
    for (let i = 0; i < n; i++) {
      from[i] = i;
      if (drop[i] === 0) drop[i] = checkOuter(i, address, udpPort);
    }
  }

  return function openFrameUnderlay(options: FrameUnderlayOptions): FrameUnderlay {
    const { device, address, udpPort } = options;
    let received = 0;
    return {
      kind: 'frame',
      id: options.id,
      name: options.name,
      tos: options.tos,
      deliverOffloadLeak: options.deliverOffloadLeak,
      checksum: options.checksum,
      rx() {
        received = device.rx();
        return received;
      },
      hasMore: device.hasMore,
      nextLanes() {
        const n = received;
        received = 0;
        checkBurst(n, address, udpPort);
        return n;
      },
      tx: (n) => device.tx(n),
      release: (n) => device.release(n),
      close: () => device.close(),
    };
  };
}
