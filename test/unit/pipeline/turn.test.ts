import { describe, expect, it } from 'vitest';
import { createTurnLoop } from '../../../src/pipeline/turn.js';
import { arpRequest, udp, vxlan } from '../../rig/frames.js';
import { makeRig, PEER_A, peer } from '../../rig/pipeline.js';

const DOORBELL = 7;
const SOCKET_FD = 100;
const [TAP_1, TAP_2] = [1001, 1002];
/** Ids of underlays in the poll. */
const UNDERLAY_1 = 65536 + 1;

function loopRig() {
  const tap = { network: 1, kind: 'tap' } as const;
  const rig = makeRig({ ports: { a: { id: 1, ...tap }, b: { id: 2, ...tap } }, peers: [peer(1, 1, PEER_A)] });
  const sleeping = new Int32Array(new SharedArrayBuffer(16));
  const loop = createTurnLoop(rig.pipeline, rig.kernel.tun, rig.clock, DOORBELL, sleeping, 2);
  loop.watch(rig.opened);
  const { kernel } = rig;
  return {
    rig,
    kernel,
    loop,
    sleeping,
    frames: (fd: number, n: number) =>
      kernel.frames(fd, ...Array.from({ length: n }, () => ({ frame: arpRequest(fd - 1000) }))),
  };
}

describe('what a turn serves', () => {
  it('is every descriptor that is ready, ports and underlays', () => {
    const { rig, kernel, loop, frames } = loopRig();
    expect(Object.fromEntries(kernel.watched)).toEqual({
      [DOORBELL]: -1,
      [TAP_1]: 1,
      [TAP_2]: 2,
      [SOCKET_FD]: UNDERLAY_1,
    });
    expect(loop.turn()).toBe(0);
    frames(TAP_1, 3);
    kernel.datagrams(SOCKET_FD, { bytes: vxlan(41, udp({ src: 9, dst: 1, payload: 3 })), from: PEER_A });
    expect(loop.turn()).toBe(4);
    expect(rig.took('b')).toHaveLength(3);
    expect(rig.took('a')).toEqual([udp({ src: 9, dst: 1, payload: 3 })]);
  });

  it('is four bursts of one descriptor at most, so that the others have theirs', () => {
    const { rig, loop, frames } = loopRig();
    frames(TAP_1, 1000);
    frames(TAP_2, 10);
    expect(loop.turn()).toBe(4 * 64 + 10);
    expect(rig.took('a')).toHaveLength(10);
    expect([loop.turn(), loop.turn(), loop.turn()]).toEqual([256, 256, 1000 - 768]);
    expect(loop.turn()).toBe(0);
    rig.delivered();
  });

  it('is not what failed, until the plan names it again', () => {
    const { rig, kernel, loop, frames } = loopRig();
    const failed: number[] = [];
    loop.onFailed = (id) => failed.push(id);
    kernel.rxError.set(TAP_1, -77);
    loop.turn();
    expect(kernel.watched.has(TAP_1)).toBe(false);
    expect(failed).toEqual([1]);
    frames(TAP_1, 1);
    frames(TAP_2, 1);
    expect(loop.turn()).toBe(1);
    loop.watch(rig.opened);
    expect(loop.turn()).toBe(1);
    rig.delivered();
  });

  it('is nothing of a port that is no longer there', () => {
    const { rig, loop, frames } = loopRig();
    rig.plan.ports = rig.plan.ports.filter((p) => p.name !== 'a');
    rig.apply();
    frames(TAP_1, 2);
    expect(loop.turn()).toBe(0);
  });
});

describe('watching', () => {
  it('follows the devices, also a descriptor that changed hands', () => {
    const { rig, kernel, loop } = loopRig();
    rig.opened.ports[0].rxFd = 1500;
    rig.opened.ports[1].rxFd = -1;
    loop.watch(rig.opened);
    expect(Object.fromEntries(kernel.watched)).toEqual({ [DOORBELL]: -1, 1500: 1, [SOCKET_FD]: UNDERLAY_1 });
    rig.opened.ports[1].rxFd = 1500;
    rig.opened.ports[0].rxFd = 1501;
    loop.watch(rig.opened);
    expect(Object.fromEntries(kernel.watched)).toMatchObject({ 1500: 2, 1501: 1 });
  });

  it('does not mind a descriptor that was closed already', () => {
    const { rig, kernel, loop } = loopRig();
    kernel.watched.delete(TAP_1);
    rig.opened.ports.shift();
    expect(() => loop.watch(rig.opened)).not.toThrow();
  });

  it('ends with the loop', () => {
    const { kernel, loop } = loopRig();
    loop.close();
    expect(kernel.watched.size).toBe(0);
  });
});

describe('when there is nothing to do', () => {
  it('a turn sleeps up to a second, and shows that it does', () => {
    const { kernel, loop, sleeping } = loopRig();
    const seen: number[] = [];
    const { waits } = kernel;
    kernel.waits = new Proxy(waits, {
      get: (target, key) => {
        if (key === 'push') seen.push(sleeping[2]);
        return Reflect.get(target, key);
      },
    });
    loop.turn();
    expect(waits).toEqual([1_000_000]);
    expect(seen).toEqual([1]);
    expect(sleeping[2]).toBe(0);
  });

  it('a turn looks on for the busy-poll time after the last packet', () => {
    const { rig, kernel, loop, frames } = loopRig();
    loop.busyPollUs = 500;
    frames(TAP_1, 1);
    loop.turn();
    kernel.waits.length = 0;
    kernel.now += 0.0004;
    loop.turn();
    kernel.now += 0.0002;
    loop.turn();
    loop.turn();
    expect(kernel.waits).toEqual([0, 0, 1_000_000]);
    rig.delivered();
  });
});

describe('time', () => {
  it('is that of the poll', () => {
    const { rig, kernel, loop } = loopRig();
    kernel.now = 4321.987;
    loop.readClock();
    expect(rig.clock).toEqual({ seconds: 4321, millis: 4_321_987 });
    kernel.now = 5000.5;
    loop.turn();
    expect(rig.clock).toEqual({ seconds: 5000, millis: 5_000_500 });
  });

  it('brings housekeeping once a second', () => {
    const { rig, kernel, loop } = loopRig();
    let ticks = 0;
    rig.pipeline.tick = () => ticks++;
    for (let n = 0; n < 30; n++) {
      loop.turn();
      kernel.now += 0.25;
    }
    expect(ticks).toBe(8);
  });
});

describe('draining at the end', () => {
  it('serves what waits, without sleeping, for so many turns', () => {
    const { rig, kernel, loop, frames } = loopRig();
    frames(TAP_1, 600);
    kernel.waits.length = 0;
    loop.drain(10);
    expect(rig.took('b')).toHaveLength(600);
    expect(kernel.waits.every((w) => w === 0)).toBe(true);
    frames(TAP_1, 5000);
    loop.drain(3);
    expect(rig.took('b')).toHaveLength(3 * 256);
    while (loop.turn() > 0);
    rig.delivered();
  });
});
