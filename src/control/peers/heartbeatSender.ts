/**
 * Sends heartbeats: tunnel header and message, through a socket of the carrier, as the workers send frames. It has a small arena of its own, so
 * that the addon's sender serves here too.
 */
import type { Tun } from '../../native/tun.js';
import { PAYLOAD_ETHERNET } from '../../packet/burst.js';
import { IO_LAYOUT, IO_WORDS } from '../../packet/outbox.js';
import type { NetworkPlan } from '../../pipeline/plan.js';
import { addressWords } from '../../pipeline/tables.js';
import { moduleOf } from '../../tunnel/modules.js';
import * as Ethernet from '../../wire/ethernet.js';
import * as Heartbeat from '../../wire/heartbeat.js';
import * as Ipv4 from '../../wire/ipv4.js';

export interface Destination {
  address: string;
  /** 0 over raw sockets. */
  udpPort: number;
}

export interface Envelope {
  network: NetworkPlan;
  /** The peer's MAC inside of the tunnel, where it has one. */
  mac: string | null;
  /** Own MAC in front of heartbeats in frames. */
  srcMac: Uint8Array;
}

export interface HeartbeatSender {
  /**
   * Sends a message through a socket, padded until the outer packet has `outerBytes`; 0 for no padding. `fill` writes the message of the length
   * that it is given. Returns 0 or the errno.
   */
  send(
    fd: number,
    to: Destination,
    envelope: Envelope,
    outerBytes: number,
    fill: (bytes: Uint8Array, at: number, length: number) => void,
  ): number;
}

const ARENA_BYTES = 128 * 1024;
const UDP_BYTES = 8;
const IPV6_BYTES = 40;
const EIO = 5;
/** One message of one extent. */
const LAYOUT = { ...IO_LAYOUT, messages: 1, extents: 1 };

/** Bytes of the outer IP and UDP headers. */
export function outerHeaders({ address, udpPort }: Destination): number {
  return (address.includes(':') ? IPV6_BYTES : Ipv4.HEADER_BYTES) + (udpPort === 0 ? 0 : UDP_BYTES);
}

const macOf = (text: string | null) => (text && Ethernet.macFromText(text)) || new Uint8Array(Ethernet.MAC_BYTES);

/** All headers of the tunnel in front of a message: of a router over frames as its packets have them. */
export function writeEnvelope(bytes: Uint8Array, { network, mac, srcMac }: Envelope, messageBytes: number): number {
  // Numbers of a sequence belong to the workers; a packet without one is in order (RFC 2890 section 2.2).
  const tunnel = { ...network.tunnel, checksum: false, sequence: false };
  const module = moduleOf(tunnel.kind);
  const carriesFrames = tunnel.payload === 'ethernet';
  module.writeHeader(bytes, 0, tunnel, carriesFrames ? PAYLOAD_ETHERNET : Ethernet.TYPE_IPV4);
  let at = module.headerLen(tunnel);
  if (carriesFrames && network.mode !== 'l3') {
    Heartbeat.writeFrameHeader(bytes, at, srcMac);
    return at + Ethernet.HEADER_BYTES;
  }
  if (carriesFrames) {
    Ethernet.write(bytes, at, macOf(mac), 0, macOf(network.vtepMac), 0, Ethernet.TYPE_IPV4);
    at += Ethernet.HEADER_BYTES;
  }
  Heartbeat.writePacketHeader(bytes, at, messageBytes);
  return at + Ipv4.HEADER_BYTES;
}

export function createHeartbeatSender(bindUdpTx: Tun['bindUdpTx']): HeartbeatSender {
  const bytes = new Uint8Array(new SharedArrayBuffer(ARENA_BYTES));
  const io = new Int32Array(new SharedArrayBuffer(IO_WORDS * 4));
  const destinations = new Int32Array(new SharedArrayBuffer(8 * 4));
  const bound = new Map<number, (first: number, n: number) => number>();
  io[IO_LAYOUT.msgCount] = 1;
  io[IO_LAYOUT.msgTos] = -1;

  /** A descriptor that is closed and given again, to another socket, needs no other sender: it knows the number alone. */
  function txOf(fd: number): (first: number, n: number) => number {
    const tx = bound.get(fd) ?? bindUdpTx(bytes, io, LAYOUT, [fd], destinations);
    bound.set(fd, tx);
    return tx;
  }

  function writeDestination({ address, udpPort }: Destination): void {
    const words = addressWords(address)!;
    destinations.fill(0);
    destinations[0] = address.includes(':') ? 6 : 4;
    destinations[1] = udpPort;
    if (destinations[0] === 4) destinations[2] = words[3];
    else destinations.set(words, 2);
  }

  return {
    send(fd, to, envelope, outerBytes, fill) {
      const front = writeEnvelope(bytes, envelope, 0);
      const length = Math.max(Heartbeat.HEADER_BYTES, outerBytes - outerHeaders(to) - front);
      writeEnvelope(bytes, envelope, length);
      bytes.fill(0, front + Heartbeat.HEADER_BYTES, front + length);
      fill(bytes, front, length);
      writeDestination(to);
      io[IO_LAYOUT.extLen] = front + length;
      io[IO_LAYOUT.msgResult] = -EIO;
      return txOf(fd)(0, 1) > 0 ? 0 : -io[IO_LAYOUT.msgResult];
    },
  };
}
