import { describe, expect, it } from 'vitest';
import { LANES } from '../../../src/packet/burst.js';
import { tunnelPlan } from '../../../src/tunnel/tunnel.js';
import { arpRequest, join, noise, udp } from '../../rig/frames.js';
import { makeRig, network, PEER_A, PEER_B, peer, type RigOptions, rxFd, SOCKETS, txFd } from '../../rig/pipeline.js';

/** Layer 2 over GRE: one socket. */
function greRig(rest: Partial<RigOptions> = {}) {
  return makeRig({
    ports: { a: { id: 1, network: 1 } },
    networks: [network(1, { tunnel: tunnelPlan('gre') })],
    peers: [peer(1, 1, PEER_A, { udpPort: 0 }), peer(2, 1, PEER_B, { udpPort: 0 })],
    carrier: { kind: 'raw', tunnel: 'gre', udpPort: 0 },
    ...rest,
  });
}

/** Packets over IP: sockets for protocols 4 and 41. */
function ipipRig() {
  return greRig({
    networks: [network(1, { tunnel: tunnelPlan('ipip'), mode: 'l3' })],
    carrier: { kind: 'raw', tunnel: 'ipip', udpPort: 0 },
    routes: [
      { network: 1, prefix: '0.0.0.0/0', port: 1, peer: 0 },
      { network: 1, prefix: '::/0', port: 1, peer: 0 },
      { network: 1, prefix: '10.0.0.9/32', port: 0, peer: 1 },
      { network: 1, prefix: 'fd00::9/128', port: 0, peer: 1 },
    ],
  });
}

const gre = (frame: Uint8Array) => join('0000 6558', frame);
const hello = arpRequest(9);
const packet = (frame: Uint8Array) => frame.slice(14);

describe('packets of a raw socket', () => {
  it('begin behind options of the outer header, which the kernel leaves in front', () => {
    const rig = greRig();
    for (const off of [0, 4, 12, 40])
      rig.into(SOCKETS, 0, { bytes: join(noise(off, 3), gre(hello)), from: PEER_A, off });
    expect(rig.took('a')).toEqual([hello, hello, hello, hello]);
    expect(rig.row('underlay', SOCKETS)).toMatchObject({ rxPackets: 4, rxBytes: 4 * hello.length });
  });

  it('with a header that contradicts their length, or cut off, are dropped', () => {
    const rig = greRig();
    rig.into(
      SOCKETS,
      0,
      { bytes: gre(hello), from: PEER_A, off: -1 },
      { bytes: gre(hello), from: PEER_A, isTruncated: true },
      { bytes: new Uint8Array(0), from: PEER_A },
    );
    expect(rig.drops()).toEqual({ 'malformed-outer': 1, truncated: 1, 'malformed-tunnel': 1 });
    expect(rig.delivered()).toEqual([]);
  });

  it('are received by the burst, from both sockets in turn', () => {
    const rig = ipipRig();
    const v4 = packet(udp({ src: 9, dst: 1, payload: 4 }));
    const v6 = packet(udp({ src: 9, dst: 1, payload: 6, family: 6 }));
    const { kernel } = rig;
    kernel.datagrams(rxFd(SOCKETS, 0), ...Array.from({ length: 3 * LANES + 5 }, () => ({ bytes: v4, from: PEER_A })));
    rig.into(SOCKETS, 1, ...Array.from({ length: 70 }, () => ({ bytes: v6, from: PEER_A })));
    const came = rig.took('a');
    expect(came.filter((p) => p[0] >> 4 === 4)).toHaveLength(3 * LANES + 5);
    expect(came.filter((p) => p[0] >> 4 === 6)).toHaveLength(70);
    // Neither waits for the other to be empty.
    expect(came.findIndex((p) => p[0] >> 4 === 6)).toBeLessThanOrEqual(LANES);
  });

  it('may fail to come: the errno is the result, and nothing is lost', () => {
    const rig = greRig();
    const underlay = rig.pipeline.walk.underlays[SOCKETS];
    if (underlay === undefined) throw new Error('no underlay');
    rig.kernel.rxError.set(rxFd(SOCKETS), -100);
    expect(rig.pipeline.walk.fromUnderlay(underlay)).toBe(-100);
    rig.into(SOCKETS, 0, { bytes: gre(hello), from: PEER_A });
    expect(rig.took('a')).toEqual([hello]);
  });

  it('that a full buffer lost are counted for each socket', () => {
    const rig = ipipRig();
    const v4 = packet(udp({ src: 9, dst: 1, payload: 4 }));
    rig.kernel.overflowed.set(rxFd(SOCKETS, 0), 5);
    rig.into(SOCKETS, 0, { bytes: v4, from: PEER_A });
    rig.kernel.overflowed.set(rxFd(SOCKETS, 1), 100);
    rig.into(SOCKETS, 1, { bytes: packet(udp({ src: 9, dst: 1, family: 6 })), from: PEER_A });
    rig.kernel.overflowed.set(rxFd(SOCKETS, 0), 7);
    rig.into(SOCKETS, 0, { bytes: v4, from: PEER_A });
    expect(rig.row('underlay', SOCKETS).missed).toBe(107);
    rig.delivered();
  });
});

describe('packets to a raw socket', () => {
  it('are a message each, on the socket of their protocol', () => {
    const rig = ipipRig();
    const frames = [4, 6, 6, 4].map((family) => packet(udp({ src: 1, dst: 9, payload: 30, family: family as 4 | 6 })));
    rig.from('a', frames);
    expect(rig.kernel.sent.map((m) => [m.fd, m.gso, m.address])).toEqual(
      [0, 1, 1, 0].map((k) => [txFd(SOCKETS, k), 0, PEER_A]),
    );
    expect(rig.kernel.sent.map((m) => m.bytes)).toEqual(frames);
  });

  it('that the kernel refuses are counted at their peer', () => {
    const rig = greRig();
    rig.kernel.refuse = () => -105;
    rig.from('a', arpRequest(1));
    expect(rig.row('peer', 1)).toMatchObject({ drops: { 'tx-full': 1 }, lastErrno: 105 });
    expect(rig.row('peer', 2)).toMatchObject({ drops: { 'tx-full': 1 } });
  });

  it('may come back as ICMP errors, which are the peer’s', () => {
    const rig = greRig();
    rig.kernel.errors.push({ address: PEER_B, errno: 113 }, { address: '198.18.0.77', errno: 111 });
    rig.pipeline.tick();
    expect(rig.row('peer', 2)).toMatchObject({ icmpErrors: 1, lastErrno: 113 });
    expect(rig.row('peer', 1).icmpErrors).toBe(0);
  });
});
