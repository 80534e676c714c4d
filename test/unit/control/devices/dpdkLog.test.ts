import { expect, it } from 'vitest';
import { createDpdkLog } from '../../../../src/control/devices/dpdkLog.js';

function makeLog() {
  const said: string[] = [];
  const clock = { now: 0 };
  let lines = '';
  const log = createDpdkLog({
    take: () => lines,
    ownerOf: (path) => (path === '/run/vm0.sock' ? 'port vm0' : null),
    warn: (message) => said.push(message),
    now: () => clock.now,
  });
  return {
    clock,
    heard(text: string) {
      lines = text;
      log.look();
      return said.splice(0);
    },
  };
}

it('names the port by the path of its socket', () => {
  const { heard } = makeLog();
  expect(heard('VHOST_CONFIG: (/run/vm0.sock) invalid msg size: -1\n')).toEqual([
    'port vm0: DPDK says: invalid msg size: -1',
  ]);
  expect(heard('VHOST_CONFIG: (/run/gone.sock) invalid vring index: 256\nEAL: out of memory\n')).toEqual([
    'devices of DPDK: DPDK says: invalid vring index: 256',
    'devices of DPDK: DPDK says: EAL: out of memory',
  ]);
  expect(heard('')).toEqual([]);
});

it('says what a machine without shared memory needs, and that once', () => {
  const { heard } = makeLog();
  const said = heard(
    'VHOST_CONFIG: (/run/vm0.sock) expect 1 FDs for request VHOST_USER_SET_MEM_TABLE, received 0\n' +
      'VHOST_CONFIG: (/run/vm0.sock) processing VHOST_USER_SET_MEM_TABLE failed.\n' +
      'VHOST_CONFIG: (/run/vm0.sock) vhost message handling failed.\n',
  );
  expect(said).toHaveLength(1);
  expect(said[0]).toMatch(/^port vm0: the machine does not share its memory: .*share=on.*; DPDK says: expect 1 FDs/);
});

it('counts what comes too often', () => {
  const { heard, clock } = makeLog();
  const storm = Array.from({ length: 100 }, (_, i) => `VHOST_CONFIG: (/run/vm0.sock) bad thing ${i}\n`).join('');
  expect(heard(storm)).toHaveLength(3);
  expect(heard('VHOST_CONFIG: (/run/vm0.sock) bad thing 0\n')).toEqual([]);
  clock.now = 10_000;
  expect(heard('VHOST_CONFIG: (/run/vm0.sock) bad thing 0\n')).toEqual([
    'port vm0: DPDK said 98 lines more',
    'port vm0: DPDK says: bad thing 0',
  ]);
});
