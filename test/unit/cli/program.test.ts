import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { run } from '../../../src/cli/program.js';

let folder: string;
let stdout: string;
let stderr: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'weft-cli-'));
  stdout = '';
  stderr = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    stdout += text;
    return true;
  });
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    stderr += text;
    return true;
  });
});

afterEach(() => {
  vi.restoreAllMocks();
  process.exitCode = undefined;
  rmSync(folder, { recursive: true });
});

/** Runs a command line; its exit code. */
async function weft(...args: string[]): Promise<number> {
  process.exitCode = undefined;
  await run(['node', 'weft', ...args]);
  const code = process.exitCode ?? 0;
  process.exitCode = undefined;
  return Number(code);
}

function file(text: string): string {
  const path = join(folder, 'c.yaml');
  writeFileSync(path, text);
  return path;
}

describe('exit codes', () => {
  it.each([
    [['--help'], 0, /Usage: weft/],
    [['--version'], 0, /^\d+\.\d+\.\d+/],
    [['help', 'capture'], 0, /--on <port>/],
    [['up', '--help'], 0, /SIGTERM/],
    [[], 1, /Usage: weft/],
    [['fly'], 1, /unknown command 'fly'/],
    [['statu'], 1, /Did you mean .*status/],
    [['status', '--jsonn'], 1, /unknown option '--jsonn'/],
    [['status', 'extra'], 1, /too many arguments/],
    [['up'], 1, /missing required argument 'file'/],
    [['up', '--log', 'xml', 'x.yaml'], 1, /--log is text or json/],
    [['check'], 1, /name a configuration file/],
    [['capture', 'x.pcapng'], 1, /required option '--on <port>'/],
    [['capture', '--on', 'p', '-c', 'many', 'x.pcapng'], 1, /must be a whole number/],
    [['lab', '--duration', '0'], 1, /1 to 3600/],
    [['lab', '--rounds', 'x'], 1, /1 to 100/],
    [['port'], 1, /add \[options\] <network> <name>/],
    [['port', 'add', 'blue'], 1, /missing required argument 'name'/],
    [['port', 'add', '--help'], 0, /--type vhost-user --path \/run\/vm2.sock/],
    [['check', '/nonexistent.yaml'], 2, /cannot be read: ENOENT/],
    [['up', '/nonexistent.yaml'], 2, /cannot be read: ENOENT/],
    [['status', '--socket', '/nonexistent.sock'], 3, /no node answers on \/nonexistent\.sock/],
    [['mac', '--node', 'no-such-node'], 3, /no node answers/],
    [['port', 'remove', 'p', '--node', 'no-such-node'], 3, /no node answers/],
    [['capture', '--node', 'no-such-node', '--on', 'p', '/dev/null'], 3, /no node answers/],
  ])('%j -> %d', async (args, code, text) => {
    expect(await weft(...args)).toBe(code);
    expect(stdout + stderr).toMatch(text);
    if (code !== 0) expect(stdout).toBe('');
  });
});

describe('check', () => {
  const GOOD = 'networks:\n  - {name: n, vni: 1}\n';

  it('says that a file is good', async () => {
    const path = file(GOOD);
    expect(await weft('check', path)).toBe(0);
    expect(stdout).toBe(`${path}: good (0 underlays, 1 network, 0 ports, 0 peers)\n`);
  });

  it('shows every problem with its place and its remedy', async () => {
    const path = file('networks:\n  - {name: n, vni: 0}\n  - {nam: n, vni: 1}\n');
    expect(await weft('check', path)).toBe(2);
    expect(stderr.split('\n').slice(0, 2)).toEqual([
      `${path}:2:20: networks[0].vni: \`vni\` is 0, must be at least 1`,
      '    Network identifier of VXLAN and Geneve, 1 to 16777215',
    ]);
    expect(stderr).toContain(`${path}: 3 problems`);
    expect(await weft('up', path)).toBe(2);
  });

  it('prints JSON', async () => {
    expect(await weft('check', '--json', file('networks: []\n'))).toBe(2);
    expect(JSON.parse(stdout)).toMatchObject({ ok: false, problems: [{ path: 'networks', line: 1, column: 11 }] });
    stdout = '';
    expect(await weft('check', '--json', file(GOOD))).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ ok: true, problems: [] });
  });

  it('prints the JSON Schema', async () => {
    expect(await weft('check', '--schema')).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      $schema: 'https://json-schema.org/draft/2020-12/schema',
      type: 'object',
    });
  });
});
