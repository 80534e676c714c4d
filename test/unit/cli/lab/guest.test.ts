import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { cacheFolder, imageIn } from '../../../../src/cli/lab/guest/image.js';
import { qemuArguments } from '../../../../src/cli/lab/guest/qemu.js';
import { connectShell, type GuestShell } from '../../../../src/cli/lab/guest/shell.js';

const LIMIT_MS = 20_000;

describe('the shell of a guest', () => {
  let folder: string;
  let server: Server;
  let guest: Socket;
  let shell: GuestShell;
  /** What the guest makes of a command that it reads. */
  let answer: (tag: string, command: string) => string[];

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'weft-shell-'));
    const path = join(folder, 'shell.sock');
    server = createServer((socket) => {
      guest = socket;
      socket.on('data', (data) => {
        const [, tag, command] = /start (\S+); \( (.*)\n\)/s.exec(String(data)) ?? [];
        for (const piece of answer(tag, command)) socket.write(piece);
      });
    });
    await new Promise<void>((resolve) => server.listen(path, resolve));
    shell = (await connectShell(path))!;
  });
  afterEach(() => {
    shell.close();
    server.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it('gives status and output, whatever comes around them and however it is cut', async () => {
    answer = (tag, command) => [
      'noise\r\nsta',
      `rt ${tag}\r\n${command}:`,
      ` one\r\n\nend other 0\n\nend ${tag}`,
      ' 3\n',
    ];
    expect(await shell.exec('look', LIMIT_MS)).toEqual({ status: 3, stdout: 'look: one\n\nend other 0\n' });
    answer = (tag) => [`\nstart ${tag}\n\nend ${tag} 0\n`];
    expect(await shell.exec('look', LIMIT_MS)).toEqual({ status: 0, stdout: '' });
  });

  it('gives up in time, when it is told to, and when the guest ends', async () => {
    answer = () => ['thinking'];
    await expect(shell.exec('slow', 500)).rejects.toThrow(/did not answer within 0.5 s: slow\nit said: .*thinking/);
    const stop = new AbortController();
    const stopped = shell.exec('slow', LIMIT_MS, stop.signal);
    stop.abort();
    await expect(stopped).rejects.toThrow(/interrupted: slow/);
    const last = shell.exec('slow', LIMIT_MS);
    guest.destroy();
    await expect(last).rejects.toThrow(/the guest ended during: slow/);
    await expect(shell.exec('late', LIMIT_MS)).rejects.toThrow(/the guest ended during: late/);
  });

  it('is not there before qemu is', async () => {
    expect(await connectShell(join(folder, 'nobody.sock'))).toBeNull();
  });
});

describe('how qemu is called', () => {
  const image = imageIn('/image');
  const options = { image, shell: '/run/shell.sock', endsWithReboot: true };
  const mac = '52:54:00:00:00:01';
  const argumentsAfter = (args: string[], flag: string) => args.filter((_, i) => args[i - 1] === flag);

  it('with memory that others may map, and NICs in order', () => {
    const nics = [
      { vhost: { path: '/run/vm0.sock', queues: 2 }, mac, settings: 'packed=on' },
      { vhost: { path: '/run/vm1.sock', mode: 'server' as const }, mac },
      { tap: 'tap0', mac },
      { stream: '/run/wire.sock', mac },
    ];
    const args = qemuArguments({ ...options, nics, isShared: true, cpus: 2 });
    expect(argumentsAfter(args, '-M')).toEqual(['q35,memory-backend=ram']);
    expect(argumentsAfter(args, '-object')).toEqual(['memory-backend-memfd,id=ram,size=160M,share=on']);
    expect(argumentsAfter(args, '-chardev').slice(1)).toEqual([
      'socket,id=c0,path=/run/vm0.sock,reconnect=1',
      'socket,id=c1,path=/run/vm1.sock,server=on,wait=off',
    ]);
    expect(argumentsAfter(args, '-netdev')).toEqual([
      'vhost-user,chardev=c0,queues=2,id=n0',
      'vhost-user,chardev=c1,queues=1,id=n1',
      'tap,ifname=tap0,script=no,downscript=no,vhost=off,id=n2',
      'stream,server=off,addr.type=unix,addr.path=/run/wire.sock,id=n3',
    ]);
    const devices = argumentsAfter(args, '-device').slice(2);
    expect(devices[0]).toBe(`virtio-net-pci,netdev=n0,mac=${mac},romfile=,packed=on,vectors=0,mq=on`);
    expect(devices[1]).toBe(`virtio-net-pci,netdev=n1,mac=${mac},romfile=,vectors=0`);
    expect(devices[2]).toBe(`virtio-net-pci,netdev=n2,mac=${mac},romfile=`);
    expect(args).toContain('-no-reboot');
    expect(args.join(' ')).toContain('-accel tcg,');
  });

  it('without shared memory', () => {
    const args = qemuArguments({ ...options, nics: [], isShared: false, endsWithReboot: false });
    expect(args.join(' ')).not.toMatch(/share=on|-no-reboot/);
  });
});

it('keeps its system in the cache of the user', () => {
  const before = process.env.XDG_CACHE_HOME;
  process.env.XDG_CACHE_HOME = '/elsewhere';
  expect(cacheFolder()).toMatch(/^\/elsewhere\/weft\/guest-[0-9a-f]{12}$/);
  delete process.env.XDG_CACHE_HOME;
  expect(cacheFolder()).toMatch(/\/\.cache\/weft\/guest-[0-9a-f]{12}$/);
  if (before !== undefined) process.env.XDG_CACHE_HOME = before;
});
