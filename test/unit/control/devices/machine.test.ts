// What a machine behind vhost-user has agreed to, by the bits of virtio 1.2.
import { expect, it } from 'vitest';
import { agreedOf, machineOf } from '../../../../src/control/devices/machine.js';

it.each([
  // As testpmd without offloads and a Linux guest with all of them say it: VERSION_1 is bit 32, PROTOCOL_FEATURES bit 30.
  [2 ** 32 + 2 ** 30, { rings: 'split', mergeable: false, sends: [], takes: [], features: '0x140000000' }],
  [
    2 ** 34 + 2 ** 32 + 2 ** 15 + 2 ** 12 + 2 ** 11 + 2 ** 8 + 2 ** 7 + 2 + 1,
    {
      rings: 'packed',
      mergeable: true,
      sends: ['checksum', 'tso4', 'tso6'],
      takes: ['checksum', 'tso4', 'tso6'],
      features: '0x500009983',
    },
  ],
  [2 ** 7 + 2, { rings: 'split', mergeable: false, sends: [], takes: ['checksum', 'tso4'], features: '0x82' }],
])('%d', (features, agreed) => {
  expect(agreedOf(features)).toEqual(agreed);
});

it('is absent where the device is closed, and null behind devices without one', () => {
  expect(machineOf('net_vhost1,iface=/run/vm0.sock,queues=1,client=1', null)).toEqual({
    socket: '/run/vm0.sock',
    mode: 'client',
    state: 'absent',
    queues: 0,
    agreed: null,
  });
  expect(machineOf('net_null0', null)).toBeNull();
});
