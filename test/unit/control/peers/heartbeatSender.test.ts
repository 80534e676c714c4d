// Heartbeats on the wire: the headers of each tunnel as its RFC draws them, the padding, the socket and the destination.
import { describe, expect, it } from 'vitest';
import {
  createHeartbeatSender,
  type Destination,
  type Envelope,
} from '../../../../src/control/peers/heartbeatSender.js';
import type { IoLayout, Tun } from '../../../../src/native/tun.js';
import { type TunnelPlan, tunnelPlan } from '../../../../src/tunnel/tunnel.js';
import { join, noise, toHex } from '../../../rig/frames.js';
import { network } from '../../../rig/pipeline.js';

const MAC = '02:77:01:02:03:04';
const srcMac = join('027701020304');
const V4: Destination = { address: '192.0.2.7', udpPort: 4789 };
const V6: Destination = { address: '2001:db8::7', udpPort: 6081 };
const RAW: Destination = { address: '192.0.2.7', udpPort: 0 };
/** IPv4, 92 bytes, DF, TTL 1, protocol 253, checksum by hand, 192.0.0.8 to 224.0.0.1. */
const IP_92 = '4500005c 0000 4000 01fd d89b c0000008 e0000001';

interface Sent {
  fd: number;
  destination: string;
  bytes: Uint8Array;
}

function lab() {
  const sent: Sent[] = [];
  const answer = { errno: 0 };
  const bind =
    (arena: Uint8Array, io: Int32Array, l: IoLayout, fds: ArrayLike<number>, destinations: Int32Array) =>
    (first: number, n: number) => {
      expect([first, n, io[l.msgCount], io[l.msgTos], io[l.msgGso], io[l.msgSocket], io[l.msgDest]]).toEqual([
        0, 1, 1, -1, 0, 0, 0,
      ]);
      const at = io[l.extAt + io[l.msgFirst]];
      const length = io[l.extLen + io[l.msgFirst]];
      const row = new Uint8Array(destinations.buffer, destinations.byteOffset, 32);
      sent.push({
        fd: fds[0],
        destination: `${destinations[0]} ${destinations[1]} ${toHex(row.slice(8, 24))}`,
        bytes: arena.slice(at, at + length),
      });
      io[l.msgResult] = answer.errno === 0 ? length : -answer.errno;
      return answer.errno === 0 ? 1 : 0;
    };
  const sender = createHeartbeatSender(bind as unknown as Tun['bindUdpTx']);
  const message = noise(72, 3);
  const lengths: number[] = [];
  const send = (fd: number, to: Destination, envelope: Envelope, outerBytes = 0) =>
    sender.send(fd, to, envelope, outerBytes, (bytes, at, length) => {
      bytes.set(message, at);
      lengths.push(length);
    });
  return { sent, send, message, lengths, answer };
}

const envelope = (tunnel: TunnelPlan, mode: 'l2' | 'l3', rest = {}): Envelope => ({
  network: network(1, { tunnel, mode, ...rest }),
  mac: null,
  srcMac,
});

describe('a heartbeat', () => {
  const option = { class: 0x0102, type: 0x80, data: join('00010002') };
  it.each<[string, Envelope, string]>([
    [
      'vxlan',
      envelope(tunnelPlan('vxlan', 42), 'l2'),
      `08000000 00002a00 027765667400 ${MAC.replaceAll(':', '')} 88b5`,
    ],
    [
      'geneve',
      envelope(tunnelPlan('geneve', 42, { options: [option] }), 'l2'),
      `02406558 00002a00 01028001 00010002 027765667400 027701020304 88b5`,
    ],
    [
      'gre without checksum and number',
      envelope(tunnelPlan('gre', 5, { checksum: true, sequence: true }), 'l2'),
      `20006558 00000005 027765667400 027701020304 88b5`,
    ],
    ['gre of a router', envelope(tunnelPlan('gre', 5, { payload: 'ip' }), 'l3'), `20000800 00000005 ${IP_92}`],
    ['ipip', envelope(tunnelPlan('ipip'), 'l3'), IP_92],
    ['fou', envelope(tunnelPlan('fou'), 'l3'), IP_92],
    ['gue', envelope(tunnelPlan('gue'), 'l3'), `00040000 ${IP_92}`],
    [
      'vxlan of a router',
      { ...envelope(tunnelPlan('vxlan', 42), 'l3', { vtepMac: '02:00:c0:00:02:01' }), mac: '02:00:c0:00:02:07' },
      `08000000 00002a00 0200c0000207 0200c0000201 0800 ${IP_92}`,
    ],
  ])('over %s is its headers and the message', (_, around, front) => {
    const { sent, send, message, lengths } = lab();
    expect(send(9, V4, around)).toBe(0);
    expect(toHex(sent[0].bytes)).toBe(toHex(join(front, message)));
    expect(lengths).toEqual([72]);
  });

  it('goes to its peer through the socket that it is given', () => {
    const { sent, send } = lab();
    const vxlan = envelope(tunnelPlan('vxlan', 42), 'l2');
    for (const [fd, to] of [
      [9, V4],
      [11, V6],
      [9, RAW],
    ] as const)
      send(fd, to, vxlan);
    expect(sent.map(({ fd, destination }) => [fd, destination])).toEqual([
      [9, '4 4789 c0000207000000000000000000000000'],
      [11, '6 6081 20010db8000000000000000000000007'],
      [9, '4 0 c0000207000000000000000000000000'],
    ]);
  });

  it('is padded with zeros up to the size of the outer packet', () => {
    const { sent, send, lengths } = lab();
    const vxlan = envelope(tunnelPlan('vxlan', 42), 'l2');
    send(9, V4, vxlan, 1500);
    send(9, V6, vxlan, 1500);
    send(9, RAW, envelope(tunnelPlan('ipip'), 'l3'), 1500);
    // Behind an IP header of 20 or 40 bytes and UDP's 8.
    expect(sent.map(({ bytes }) => bytes.length)).toEqual([1472, 1452, 1480]);
    expect(lengths).toEqual([1472 - 22, 1452 - 22, 1480 - 20]);
    expect(sent[0].bytes.slice(22 + 72).every((byte) => byte === 0)).toBe(true);
    expect(toHex(sent[2].bytes.slice(2, 4))).toBe('05c8');
    // What a larger one left behind is not there in a smaller one, and none is shorter than its header.
    send(9, V4, vxlan, 40);
    expect(sent[3].bytes.length).toBe(22 + 72);
  });

  it('that the kernel refuses is an errno', () => {
    const { send, answer } = lab();
    answer.errno = 90;
    expect(send(9, V4, envelope(tunnelPlan('vxlan', 42), 'l2'), 9000)).toBe(90);
  });
});
