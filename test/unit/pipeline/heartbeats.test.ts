// Heartbeats in the walk: taken out of the traffic of their network, never forwarded, left for the control thread as they came.
import { describe, expect, it } from 'vitest';
import {
  drainHeartbeats,
  type HeardHeartbeat,
  makeHeartbeatRing,
  missedHeartbeats,
} from '../../../src/pipeline/heartbeats.js';
import { tunnelPlan } from '../../../src/tunnel/tunnel.js';
import { arpRequest, ethernet, join, noise, toHex, u16, udp, v4, vxlan } from '../../rig/frames.js';
import {
  FRAMES,
  makeRig,
  network,
  PEER_A,
  PEER_B,
  peer,
  type RigOptions,
  rxFd,
  SELF,
  SOCKETS,
  txFd,
} from '../../rig/pipeline.js';
import { tunnelFrame } from '../../rig/tunnels.js';

const VNI = 41;
const STRANGER = '203.0.113.9';
const MAC = join('027765667400');
/** The walk looks at the headers in front alone; the rest is the control thread's to judge. */
const message = (length = 72) => noise(length, 7);
const frame = (bytes = message()) => ethernet({ src: 9, dst: MAC }, 0x88b5, bytes);
const packet = (bytes = message(), { protocol = 253, dst = '224.0.0.1', first = 0x45 } = {}) =>
  join(first, 0, u16(20 + bytes.length), '0000 4000 01', protocol, '0000', v4('192.0.0.8'), v4(dst), bytes);

function lab(rest: Partial<RigOptions> = {}, settings = {}) {
  const heartbeats = makeHeartbeatRing();
  const rig = makeRig({
    ports: { a: { id: 1, network: 1 }, b: { id: 2, network: 1 } },
    networks: [network(1, { heartbeats: true, ...settings })],
    peers: [peer(1, 1, PEER_A), peer(2, 1, PEER_B)],
    heartbeats,
    ...rest,
  });
  const heard = () => {
    const all: HeardHeartbeat[] = [];
    drainHeartbeats(heartbeats, (one) => all.push(one));
    return all;
  };
  return { rig, heard, heartbeats };
}

const routed = (rest: Partial<RigOptions> = {}, settings = {}) =>
  lab(
    {
      routes: [{ network: 1, prefix: '0.0.0.0/0', port: 1, peer: 0 }],
      carrier: { kind: 'raw', tunnel: 'ipip', udpPort: 0 },
      ...rest,
    },
    { mode: 'l3', tunnel: tunnelPlan('ipip'), ...settings },
  );

describe('a heartbeat of a peer', () => {
  it('ends in the node and is left for the control thread', () => {
    const { rig, heard } = lab();
    rig.fromPeer(PEER_A, VNI, [arpRequest(9), frame(), udp({ src: 9, dst: 1, payload: 3 }), frame(message(1400))]);
    expect(rig.took('b')).toHaveLength(2);
    expect(rig.row('underlay', SOCKETS)).toMatchObject({ rxPackets: 4, consumed: 2 });
    expect(rig.drops()).toEqual({});
    const [small, large] = heard();
    expect(small).toMatchObject({ network: 1, peer: 1, carrier: SOCKETS, length: 72, seconds: 100 });
    expect(toHex(small.address)).toBe('00000000000000000000ffffc6120002');
    expect(toHex(small.message)).toBe(toHex(message()));
    expect(large.length).toBe(1400);
    expect(heard()).toEqual([]);
  });

  it('is a packet where the tunnel carries packets', () => {
    const { rig, heard } = routed();
    rig.into(SOCKETS, 0, { bytes: packet(), from: PEER_B }, { bytes: join(packet(message(100)), 0, 0), from: PEER_A });
    expect(rig.drops()).toEqual({});
    expect(rig.delivered()).toEqual([]);
    expect(heard().map(({ peer: id, length }) => [id, length])).toEqual([
      [2, 72],
      [1, 100],
    ]);
  });

  it('is one in any tunnel, behind a router over VXLAN too', () => {
    const vtepMac = '02:00:00:00:0b:01';
    const { rig, heard } = lab({ ports: {} }, { mode: 'l3', vtepMac });
    const inner = join('0200 0000 0b01 0200 0000 0a02 0800', packet());
    rig.fromPeer(PEER_A, VNI, inner);
    expect(heard()).toMatchObject([{ peer: 1, length: 72 }]);
    expect(rig.drops()).toEqual({});
  });

  it('too short to be one, is none that is kept; the account balances all the same', () => {
    for (let length = 0; length < 72; length++) {
      const { rig, heard } = lab();
      rig.fromPeer(PEER_A, VNI, frame(message(length)));
      expect(heard()).toEqual([]);
      expect(rig.row('underlay', SOCKETS).consumed).toBe(1);
      expect(rig.delivered()).toEqual([]);
    }
  });

  it('never reaches a port, whatever else its network is', () => {
    for (const rest of [{ networks: [network(1)] }, { networks: [network(1, { mode: 'xconnect' })] }]) {
      const { rig, heard } = lab(rest);
      rig.fromPeer(PEER_A, VNI, frame());
      expect(rig.drops()).toEqual({ 'stray-heartbeat': 1 });
      expect([rig.delivered(), heard()]).toEqual([[], []]);
    }
    const { rig } = routed({ networks: [network(1, { mode: 'l3', tunnel: tunnelPlan('ipip') })] });
    rig.into(SOCKETS, 0, { bytes: packet(), from: PEER_A });
    expect(rig.drops()).toEqual({ 'stray-heartbeat': 1 });
  });

  it('that looks nearly like one is traffic', () => {
    const { rig, heard } = lab();
    rig.fromPeer(PEER_A, VNI, [
      ethernet({ src: 9, dst: MAC }, 0x88b6, message()),
      ethernet({ src: 9, dst: join('027765667401') }, 0x88b5, message()),
      ethernet({ src: 9, dst: MAC, tags: [[0x8100, 5]] }, 0x88b5, message()),
    ]);
    expect(rig.took('b')).toHaveLength(3);
    expect(heard()).toEqual([]);
  });

  it('is none as a fragment, with options, or with another protocol', () => {
    const { rig, heard } = routed();
    const fragment = packet();
    fragment[6] = 0x20;
    const options = join(packet().slice(0, 20), '01010101', message());
    options[0] = 0x46;
    options[3] = 96;
    rig.into(
      SOCKETS,
      0,
      { bytes: fragment, from: PEER_A },
      { bytes: options, from: PEER_A },
      { bytes: packet(message(), { protocol: 254 }), from: PEER_A },
      { bytes: packet(message(), { dst: '10.0.0.1' }), from: PEER_A },
    );
    expect(heard()).toEqual([]);
    expect(rig.row('underlay', SOCKETS).consumed).toBe(0);
    rig.delivered();
  });

  it('over a frame underlay ends there as well', () => {
    const { rig } = lab(
      { peers: [peer(1, 1, PEER_A, { underlay: FRAMES })] },
      { underlay: FRAMES, underlays: [FRAMES] },
    );
    rig.fromWire(tunnelFrame({ src: PEER_A, dst: SELF, protocol: 17, dport: 4789 }, vxlan(VNI, frame())));
    expect(rig.row('underlay', FRAMES).consumed).toBe(1);
    expect(rig.delivered()).toEqual([]);
  });

  it('fills the ring and no more', () => {
    const { rig, heard, heartbeats } = lab();
    for (let round = 0; round < 5; round++)
      rig.fromPeer(
        PEER_A,
        VNI,
        Array.from({ length: 64 }, () => frame()),
      );
    expect(heard()).toHaveLength(256);
    expect(missedHeartbeats(heartbeats)).toBe(64);
    rig.fromPeer(PEER_A, VNI, frame());
    expect(heard()).toHaveLength(1);
    expect(rig.row('underlay', SOCKETS).consumed).toBe(321);
  });
});

describe('a heartbeat of a stranger', () => {
  it('is left where peers roam, and dropped like everything of a stranger', () => {
    const { rig, heard } = lab({}, { roams: true });
    rig.fromPeer(STRANGER, VNI, [frame(), arpRequest(9), frame(message(30))]);
    expect(rig.drops()).toEqual({ 'unknown-peer': 3 });
    expect(rig.row('network', 1).drops).toEqual({ 'unknown-peer': 3 });
    expect(heard()).toMatchObject([{ network: 1, peer: 0, carrier: SOCKETS, length: 72 }]);
  });

  it('is left from tunnels that carry packets', () => {
    const { rig, heard } = routed({}, { roams: true });
    rig.into(SOCKETS, 0, { bytes: packet(), from: STRANGER }, { bytes: noise(20), from: STRANGER });
    for (let end = 0; end < 92; end++) rig.into(SOCKETS, 0, { bytes: packet().slice(0, end), from: STRANGER });
    expect(heard()).toMatchObject([{ peer: 0, length: 72 }]);
    const over = lab({ ports: {} }, { mode: 'l3', vtepMac: '02:00:00:00:0b:01', roams: true });
    over.rig.fromPeer(STRANGER, VNI, join('0200 0000 0b01 0200 0000 0a02 0800', packet()));
    expect(over.heard()).toMatchObject([{ peer: 0, length: 72 }]);
  });

  it('is nothing where no peer roams, and of an unknown network never', () => {
    const { rig, heard } = lab();
    rig.fromPeer(STRANGER, VNI, frame());
    const roaming = lab({}, { roams: true });
    roaming.rig.fromPeer(STRANGER, 7, frame());
    expect([heard(), roaming.heard()]).toEqual([[], []]);
    expect(roaming.rig.drops()).toEqual({ 'unknown-vni': 1 });
  });

  it('is a peer’s like any other where unknown peers are accepted', () => {
    const { rig, heard } = lab({}, { acceptUnknownPeers: true });
    rig.fromPeer(STRANGER, VNI, frame());
    expect(rig.row('underlay', SOCKETS).consumed).toBe(1);
    expect(heard()).toMatchObject([{ peer: 0, network: 1 }]);
  });
});

it('is never taken from a station', () => {
  const { rig, heard } = lab();
  rig.from('a', frame());
  expect(rig.drops()).toEqual({ 'stray-heartbeat': 1 });
  expect([rig.delivered(), heard(), rig.kernel.sent]).toEqual([[], [], []]);
});

it('traffic goes to where a peer that roams is now, from the port that its NAT lets in', () => {
  const { rig } = lab({
    peers: [peer(1, 1, PEER_A, { at: { address: STRANGER, udpPort: 4000 } }), peer(2, 1, PEER_B)],
    sockets: 1,
  });
  rig.from('a', arpRequest(1));
  const sent = rig.kernel.sent.map(({ fd, address, port }) => [fd, address, port]);
  expect(sent).toEqual([
    [rxFd(SOCKETS), STRANGER, 4000],
    [txFd(SOCKETS), PEER_B, 4789],
  ]);
  rig.fromPeer(STRANGER, VNI, arpRequest(9));
  rig.fromPeer(PEER_A, VNI, arpRequest(8));
  expect(rig.drops()).toEqual({ 'unknown-peer': 1 });
  rig.delivered();
});
