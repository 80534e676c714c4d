import { expect, it } from 'vitest';
import { memifSocket } from '../../../../src/control/devices/dpdkSockets.js';

it.each<[string, string | null]>([
  ['net_memif0,role=server,socket=/run/memif.sock,socket-abstract=no', '/run/memif.sock'],
  ['net_memif,socket-abstract=no,id=3,socket=/run/a.sock,role=master', '/run/a.sock'],
  // A name that is no path leaves nothing behind: DPDK's default.
  ['net_memif0,role=server,socket=/run/memif.sock', null],
  ['net_memif0,role=server,socket=/run/memif.sock,socket-abstract=yes', null],
  ['net_memif0,role=client,socket=/run/memif.sock,socket-abstract=no', null],
  ['net_memif0,socket=/run/memif.sock,socket-abstract=no', null],
  ['net_memif0,role=server,socket-abstract=no', null],
  ['net_vhost0,iface=/run/vm0.sock', null],
])('%s listens at %s', (devargs, path) => {
  expect(memifSocket(devargs)).toBe(path);
});
