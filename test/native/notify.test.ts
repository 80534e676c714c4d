import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type Tun, tun } from '../../src/native/tun.js';
import { describeWith } from '../rig/requirements.js';
import { listenAsManager, type ServiceManager } from '../rig/serviceManager.js';
import { thrownBy } from './binding.js';

describeWith(['addon'], 'sdNotify', () => {
  let addon: Tun;
  let folder: string;
  let manager: ServiceManager | null = null;
  beforeEach(() => {
    addon = tun();
    folder = mkdtempSync(join(tmpdir(), 'weft-notify-'));
  });
  afterEach(async () => {
    await manager?.close();
    manager = null;
    rmSync(folder, { recursive: true, force: true });
  });

  it.each([
    ['a path', () => join(folder, 'notify')],
    ['the abstract namespace', () => `@weft-notify-${process.pid}`],
  ])('sends one datagram to a socket in %s', async (_where, socketOf) => {
    const socket = socketOf();
    manager = await listenAsManager(socket);
    addon.sdNotify({ socket, message: 'READY=1\nSTATUS=ünïcode' });
    addon.sdNotify({ socket, message: 'WATCHDOG=1' });
    await expect.poll(() => manager!.notices).toEqual(['READY=1\nSTATUS=ünïcode', 'WATCHDOG=1']);
  });

  it('says what is wrong', () => {
    const message = 'READY=1';
    const codeOf = (socket: string) => thrownBy(() => addon.sdNotify({ socket, message })).code;
    expect(codeOf(join(folder, 'nobody'))).toBe('ENOENT');
    expect(codeOf(`@weft-nobody-${process.pid}`)).toBe('ECONNREFUSED');
    expect(codeOf(`/${'x'.repeat(200)}`)).toBe('ENAMETOOLONG');
    expect(() => addon.sdNotify({ socket: 1 as never, message })).toThrow(/socket/);
  });
});
