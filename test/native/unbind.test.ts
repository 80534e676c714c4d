// What a bound function holds is freed while the function is still there: a worker never comes to run finalizers.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Tun, tun, type UdpSocket } from '../../src/native/tun.js';
import { describeWith } from '../rig/requirements.js';
import { LAYOUT, makeBinding } from './binding.js';

describeWith(['addon'], 'unbind', () => {
  let addon: Tun;
  let socket: UdpSocket;
  const { arena, io } = makeBinding();
  const destinations = new Int32Array(new SharedArrayBuffer(64 * 4));
  const bind = () => addon.bindUdpTx(arena, io, LAYOUT, [socket.fd], destinations);

  beforeAll(() => {
    addon = tun();
    socket = addon.udpOpen({ family: 4, address: '127.0.0.1', port: 0 });
  });
  afterAll(() => addon.close(socket.fd));

  it('frees at once, without a turn of the event loop', () => {
    const layout = { ...LAYOUT };
    const before = process.memoryUsage().rss;
    for (let n = 0; n < 20_000; n++) addon.unbind(addon.bindUdpTx(arena, io, layout, [socket.fd], destinations));
    // A sender over this memory holds 20 KB and more.
    expect((process.memoryUsage().rss - before) / 20_000).toBeLessThan(5_000);
  });

  it('may be called again, and leaves the others alone', () => {
    const [gone, stays] = [bind(), bind()];
    expect([gone(0, 0), stays(0, 0)]).toEqual([0, 0]);
    addon.unbind(gone);
    addon.unbind(gone);
    expect(gone(0, 0)).toBe(undefined);
    expect(stays(0, 0)).toBe(0);
  });

  it('takes bound functions only', () => {
    for (const wrong of [() => 0, {}, null, undefined, 7]) expect(() => addon.unbind(wrong as never)).toThrow();
  });
});
