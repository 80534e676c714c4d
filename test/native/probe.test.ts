// What the addon says about the machine, and what it is like without rights.
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { release } from 'node:os';
import { fileURLToPath } from 'node:url';
import { beforeAll, expect, it } from 'vitest';
import { type Probe, type Tun, tun } from '../../src/native/tun.js';
import { describeWith } from '../rig/requirements.js';
import { eventually, thrownBy } from './binding.js';

const FEATURES = ['tun', 'vnetHdr', 'tso4', 'tso6', 'uso', 'tunnelGso', 'udpSegment', 'udpGro'] as const;

describeWith(['addon'], 'probe', () => {
  let addon: Tun;
  beforeAll(() => {
    addon = tun();
  });

  it('gives a reason for every feature that is missing, and for no other', () => {
    const probe = addon.probe();
    expect(probe.kernel).toBe(release());
    expect(addon.version()).toMatch(/^\d+\.\d+\.\d+$/);
    for (const feature of FEATURES) {
      expect(typeof probe[feature]).toBe('boolean');
      expect(feature in probe.reasons).toBe(!probe[feature]);
    }
  });

  it('leaves nothing behind', async () => {
    const state = () => [
      addon.linkList().map(({ name }) => name),
      readdirSync('/proc/self/fd').length,
      readdirSync('/proc/self/task').length,
    ];
    addon.probe();
    const before = state();
    for (let i = 0; i < 5; i++) addon.probe();
    // A thread that was joined is listed until the kernel is done with it.
    const after = await eventually(() => {
      const now = state();
      return JSON.stringify(now) === JSON.stringify(before) ? now : undefined;
    });
    expect(after).toEqual(before);
  });

  it('ties a thread to a processor', () => {
    expect(addon.gettid()).toBeGreaterThan(0);
    expect(thrownBy(() => addon.setAffinity([1023]))).toMatchObject({ code: 'EINVAL', syscall: 'sched_setaffinity' });
  });
});

describeWith(['root', 'addon', 'ip'], 'without rights', () => {
  it('says what may not be done, and probes what it can', () => {
    const script = fileURLToPath(new URL('withoutRights.mjs', import.meta.url));
    const { errors, probe } = JSON.parse(execFileSync(process.execPath, [script], { encoding: 'utf8' })) as {
      errors: Record<string, { code: string; syscall: string }>;
      probe: Probe;
    };
    expect(errors.setns).toEqual({ code: 'EPERM', syscall: 'setns' });
    expect(errors.linkSet).toEqual({ code: 'EPERM', syscall: 'netlink RTM_SETLINK' });
    expect(errors.rawOpen).toEqual({ code: 'EPERM', syscall: 'socket' });
    expect(errors.lowPort).toEqual({ code: 'EACCES', syscall: 'bind' });
    // EACCES where /dev/net/tun is root's alone.
    expect(['EPERM', 'EACCES']).toContain(errors.openTap.code);
    expect(probe.tun).toBe(false);
    expect(probe.reasons.tun).toMatch(/unshare: EPERM/);
    expect(probe.udpSegment && probe.udpGro).toBe(true);
  });
});
