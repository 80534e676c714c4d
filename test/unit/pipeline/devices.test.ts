import { describe, expect, it } from 'vitest';
import { decodeOuter } from '../../rig/decode.js';
import { arpRequest, udp } from '../../rig/frames.js';
import { FRAMES, makeRig, network, PEER_A, PEER_B, peer, SOCKETS } from '../../rig/pipeline.js';

const ports = { a: { id: 1, network: 1 }, b: { id: 2, network: 1 } };

describe('a plan that changes', () => {
  it('keeps the devices that it names again, with what waits in them', () => {
    const rig = makeRig({ ports, peers: [peer(1, 1, PEER_A)] });
    const { walk, devices } = rig.pipeline;
    const [a, sockets, frames] = [walk.ports[1], walk.underlays[SOCKETS], walk.underlays[FRAMES]];
    devices.memory.get('a')?.inject(arpRequest(1));
    rig.plan.peers = [];
    rig.plan.networks[0].mtu = 900;
    rig.plan.generation++;
    rig.apply();
    expect([walk.ports[1], walk.underlays[SOCKETS], walk.underlays[FRAMES]]).toEqual([a, sockets, frames]);
    expect(rig.serve('a')).toBe(1);
    expect(rig.took('b')).toEqual([arpRequest(1)]);
  });

  it('opens what is new, and closes what is gone: its frames go home', () => {
    const rig = makeRig({ ports });
    const { walk, devices } = rig.pipeline;
    devices.memory.get('a')?.inject(arpRequest(1));
    rig.plan.ports = [{ ...rig.plan.ports[1] }, { ...rig.plan.ports[1], id: 9, name: 'nine' }];
    rig.plan.underlays = [];
    rig.apply();
    expect([walk.ports[1], walk.underlays[SOCKETS], walk.underlays[FRAMES]]).toEqual([undefined, undefined, undefined]);
    expect(walk.ports[9]?.name).toBe('nine');
  });

  it('opens a device again whose descriptors changed', () => {
    const rig = makeRig({ ports: { t: { id: 1, network: 1, kind: 'tap' } } });
    const before = rig.pipeline.walk.ports[1];
    rig.opened.ports[0] = { ...rig.opened.ports[0], txFd: 4000 };
    rig.apply();
    expect(rig.pipeline.walk.ports[1]).not.toBe(before);
    const underlay = rig.pipeline.walk.underlays[SOCKETS];
    rig.opened.underlays[0].txFds.push(999);
    rig.apply();
    expect(rig.pipeline.walk.underlays[SOCKETS]).not.toBe(underlay);
  });

  it('moves a port to another network without opening it again', () => {
    const rig = makeRig({ ports: { ...ports, c: { id: 3, network: 2 } }, networks: [network(1), network(2)] });
    const { walk } = rig.pipeline;
    const before = walk.ports[1];
    rig.plan.ports[0].network = 2;
    rig.apply();
    expect(walk.ports[1]).toBe(before);
    rig.from('a', arpRequest(1));
    expect(rig.delivered().map((d) => d.port)).toEqual(['c']);
  });

  it('takes next hops over, and forgets them', () => {
    const rig = makeRig({
      ports,
      networks: [network(1, { underlay: FRAMES })],
      peers: [peer(1, 1, PEER_A, { underlay: FRAMES }), peer(2, 1, PEER_B, { underlay: FRAMES })],
    });
    const hops = () => {
      rig.from('a', arpRequest(1));
      rig.took('b');
      return rig.wire().map((o) => decodeOuter(o).dstMac);
    };
    expect(hops()).toEqual(['02:00:00:00:0a:02', '02:00:00:00:0a:03']);
    const { frame } = rig.plan.underlays[1];
    if (frame === null) throw new Error('no frame device');
    frame.neighbours = { [PEER_B]: '02:00:00:00:ff:ff' };
    rig.apply();
    expect(hops()).toEqual(['02:00:00:00:ff:ff']);
    expect(rig.drops()).toEqual({ 'no-neighbour': 1 });
  });

  it('gives a peer its own header when its address, port or VNI change', () => {
    const rig = makeRig({
      ports,
      networks: [network(1, { underlay: FRAMES })],
      peers: [peer(1, 1, PEER_A, { underlay: FRAMES })],
    });
    rig.plan.peers[0] = peer(1, 1, PEER_B, { underlay: FRAMES, udpPort: 8472 });
    rig.plan.networks[0].tunnel.id = 4711;
    rig.apply();
    rig.from('a', udp({ src: 1, dst: 9, payload: 1 }));
    rig.took('b');
    expect(rig.wire().map(decodeOuter)).toMatchObject([
      { dst: PEER_B, dport: 8472, vni: 4711, dstMac: '02:00:00:00:0a:03' },
    ]);
  });
});

describe('a plan that cannot be', () => {
  it('is refused with the name of the device', () => {
    const rig = makeRig({ ports });
    const attempt = (change: () => void) => {
      change();
      try {
        rig.apply();
      } catch (error) {
        return error as { code: string; message: string };
      }
      return null;
    };
    const tap = { ...rig.plan.ports[0], id: 7, name: 'web', kind: 'tap' as const };
    expect(attempt(() => rig.plan.ports.push(tap))).toMatchObject({
      code: 'WORKER',
      message: 'port web has no open device',
    });
    rig.plan.ports.pop();
    const wan = { ...rig.plan.underlays[0], id: 8, name: 'wan' };
    expect(attempt(() => rig.plan.underlays.push(wan))).toMatchObject({
      code: 'WORKER',
      message: 'underlay wan has no open sockets',
    });
    rig.plan.underlays.pop();
    const lan = { ...rig.plan.underlays[1], id: 9, name: 'lan', address: 'nowhere' };
    expect(attempt(() => rig.plan.underlays.push(lan))).toMatchObject({
      code: 'WORKER',
      message: 'underlay lan needs an IP address',
    });
    rig.plan.underlays.pop();
    expect(attempt(() => {})).toBeNull();
    rig.from('a', arpRequest(1));
    expect(rig.took('b')).toHaveLength(1);
  });
});
