// Which server a client of memif needs, and whether it is there.
import { createServer, type Server } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { isServed, memifServer, missingServer } from '../../../../src/control/devices/memif.js';

let server: Server | null = null;
afterEach(() => server?.close());

it.each<[string, ReturnType<typeof memifServer>]>([
  ['net_memif0,role=client,socket=/run/a.sock,socket-abstract=no', { socket: '/run/a.sock', isAbstract: false }],
  ['net_memif0,role=slave,socket=a,socket-abstract=yes,id=3', { socket: 'a', isAbstract: true }],
  // DPDK's defaults.
  ['net_memif', { socket: '/run/memif.sock', isAbstract: true }],
  ['net_memif0,role=server,socket=/run/a.sock', null],
  ['net_memif0,role=master', null],
  ['net_vhost0,iface=/run/a.sock,client=1', null],
])('%s', (devargs, wanted) => {
  expect(memifServer(devargs)).toEqual(wanted);
});

it('is served when somebody listens at its name, and then has a device for a while without a link', async () => {
  // As long as a name can be: Node fills shorter ones up.
  const socket = `weft-test-${process.pid}`.padEnd(107, '-');
  const client = { socket, isAbstract: true };
  expect(isServed(client)).toBe(false);
  expect(missingServer(client, null)).toMatchObject({ scene: 'nobody', waits: true });
  expect(missingServer(client, 10)).toMatchObject({ scene: 'nobody', waits: false });
  server = createServer();
  await new Promise<void>((resolve) => server!.listen(`\0${socket}`, resolve));
  expect(isServed(client)).toBe(true);
  expect(isServed({ ...client, socket: socket.slice(0, -1) })).toBe(false);
  expect(missingServer(client, null)).toMatchObject({ scene: 'served', waits: false });
  expect(missingServer(client, 10)).toMatchObject({ waits: true });
  expect(missingServer(client, 60_000)).toMatchObject({ waits: false });
});

it('is not served by a path where nothing is', () => {
  expect(isServed({ socket: '/nowhere/memif.sock', isAbstract: false })).toBe(false);
});
