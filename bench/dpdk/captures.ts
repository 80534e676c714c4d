import { writeFileSync } from 'node:fs';

/** What all contestants of a run are given: stations, flows and endpoints of the frames. */
export const VNI = 42;
export const OWN = { address: '198.18.0.1', mac: '02:00:00:00:99:01' } as const;
export const PEER = { address: '198.18.0.2', mac: '02:00:00:00:99:02' } as const;
export const FLOWS = 10_000;
export const DESTINATIONS = 4000;
/** Stations that send, few enough for every table; each of their frames is learned from. */
export const SOURCES = 64;

const ETHERNET = 14;
const IP = 20;
const UDP = 8;
const VXLAN = 8;
/** Headers of VXLAN over IPv4 in front of a frame. */
export const OUTER_BYTES = ETHERNET + IP + UDP + VXLAN;
const VXLAN_PORT = 4789;

const macBytes = (mac: string) => Buffer.from(mac.replaceAll(':', ''), 'hex');
const addressBytes = (address: string) => Buffer.from(address.split('.').map(Number));

/** MAC of station `k` of the senders (1) or receivers (2). */
export const stationMac = (side: 1 | 2, k: number): string =>
  [2, side, 0, 0, k >> 8, k & 255].map((byte) => byte.toString(16).padStart(2, '0')).join(':');

/** Numbers below `n`, the same in every run. */
export function sequence(seed = 12345): (n: number) => number {
  let x = seed;
  return (n) => {
    x = (Math.imul(x, 1103515245) + 12345) >>> 0;
    return (x >>> 8) % n;
  };
}

interface Packet {
  from: { mac: string; address: Buffer; port: number };
  to: { mac: string; address: Buffer; port: number };
}

/** Ethernet, IPv4 and UDP without a checksum, around a payload that is there already behind the headers. */
function writeHeaders(frame: Buffer, { from, to }: Packet): void {
  macBytes(to.mac).copy(frame, 0);
  macBytes(from.mac).copy(frame, 6);
  frame.writeUInt16BE(0x0800, 12);
  const ip = frame.subarray(ETHERNET);
  ip.writeUInt16BE(0x4500, 0);
  ip.writeUInt16BE(ip.length, 2);
  ip[8] = 64;
  ip[9] = 17;
  from.address.copy(ip, 12);
  to.address.copy(ip, 16);
  let sum = 0;
  for (let at = 0; at < IP; at += 2) sum += ip.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  ip.writeUInt16BE(~sum & 0xffff, 10);
  ip.writeUInt16BE(from.port, IP);
  ip.writeUInt16BE(to.port, IP + 2);
  ip.writeUInt16BE(ip.length - IP, IP + 4);
}

/** A frame of each flow, `frameLen` bytes long, in random order: flows differ in addresses and ports, and go to any of the destinations. */
export function plainFrames(frameLen: number, flows = FLOWS): Buffer[] {
  const random = sequence();
  return Array.from({ length: flows }, (_, k) => {
    const frame = Buffer.alloc(frameLen, 0x78);
    frame.fill(0, 0, ETHERNET + IP + UDP);
    const address = (net: number) => Buffer.from([10, net, random(256), random(256)]);
    writeHeaders(frame, {
      from: { mac: stationMac(1, k % SOURCES), address: address(0), port: 1024 + random(60_000) },
      to: { mac: stationMac(2, random(DESTINATIONS)), address: address(1), port: random(60_000) },
    });
    return frame;
  });
}

/** The same frames as they come through the tunnel: from the peer's endpoint to the own one. */
export function tunnelFrames(frameLen: number, flows = FLOWS): Buffer[] {
  const random = sequence(777);
  return plainFrames(frameLen, flows).map((inner) => {
    const frame = Buffer.concat([Buffer.alloc(OUTER_BYTES), inner]);
    writeHeaders(frame, {
      from: { mac: PEER.mac, address: addressBytes(PEER.address), port: 49152 + random(16384) },
      to: { mac: OWN.mac, address: addressBytes(OWN.address), port: VXLAN_PORT },
    });
    frame[OUTER_BYTES - VXLAN] = 0x08;
    frame.writeUInt32BE(VNI << 8, OUTER_BYTES - 4);
    return frame;
  });
}

/** A pcap file of frames. */
export function writeCapture(path: string, frames: readonly Buffer[]): void {
  const header = Buffer.alloc(24);
  header.writeUInt32LE(0xa1b2c3d4, 0);
  header.writeUInt16LE(2, 4);
  header.writeUInt16LE(4, 6);
  header.writeUInt32LE(65535, 16);
  header.writeUInt32LE(1, 20);
  const records = frames.flatMap((frame) => {
    const record = Buffer.alloc(16);
    record.writeUInt32LE(frame.length, 8);
    record.writeUInt32LE(frame.length, 12);
    return [record, frame];
  });
  writeFileSync(path, Buffer.concat([header, ...records]));
}
