import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { clearSocketPath, memifSocket } from '../../../../src/control/devices/dpdkSockets.js';

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

it('says which directory of a socket is missing, before DPDK says something else', () => {
  const folder = mkdtempSync(join(tmpdir(), 'weft-sockets-'));
  try {
    const file = join(folder, 'file');
    writeFileSync(file, '');
    for (const missing of [join(folder, 'none'), file])
      expect(() => clearSocketPath(join(missing, 'vm0.sock'), 'port vm0')).toThrow(
        `port vm0: its socket cannot be made, there is no directory ${missing}`,
      );
    expect(() => clearSocketPath(join(folder, 'vm0.sock'), 'port vm0')).not.toThrow();
  } finally {
    rmSync(folder, { recursive: true });
  }
});

it.skipIf(process.geteuid?.() !== 0)('says which directory may not be written to', () => {
  const folder = mkdtempSync(join(tmpdir(), 'wt-'));
  // Root may write everywhere but there.
  execFileSync('chattr', ['+i', folder]);
  try {
    expect(() => clearSocketPath(join(folder, 'vm0.sock'), 'port vm0')).toThrow(
      `directory ${folder} may not be written to`,
    );
  } finally {
    execFileSync('chattr', ['-i', folder]);
    rmSync(folder, { recursive: true });
  }
});
