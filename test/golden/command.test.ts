// `weft replay` as its users run it: the built command, captures of others in, files and exit codes out.
import { spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { readFrames, writePcap } from '../rig/captureFiles.js';
import { outer, tcp, toHex, udp, vxlan } from '../rig/frames.js';
import { runToEnd, WEFT, weft } from '../rig/node.js';
import { describeWith } from '../rig/requirements.js';
import { until } from '../rig/waiting.js';
import { FRAMES, hex, makeScratch } from './scratch.js';

const { path, INPUT, OUT } = makeScratch('command');

async function replayed(...args: string[]) {
  const ended = await weft('replay', ...args);
  return { ...ended, report: ended.stdout.startsWith('{') ? JSON.parse(ended.stdout) : null };
}

describe('rewriting', () => {
  it('goes through all steps, and the totals add up', async () => {
    const push = ['--push', 'vxlan:vni=1,remote=198.18.0.2', '--push', 'geneve:vni=2,remote=fd00::2'];
    const { status, report } = await replayed(INPUT, '--set', 'ttl=9', ...push, '--out', OUT, '--json');
    expect(status).toBe(0);
    expect(report).toMatchObject({ read: 5, forwarded: 5, written: 5, verdict: null });
    // Outer Ethernet, IPv6, UDP, Geneve; inner Ethernet, IPv4, UDP, VXLAN.
    const inner = readFrames(OUT).map((frame) => frame.subarray(14 + 40 + 8 + 8 + 50));
    expect(toHex(inner[1])).toBe(toHex(udp({ payload: 30, ttl: 9 })));
    const back = await replayed(OUT, '--pop', 'auto:depth=1', '--out', path('x.pcapng'));
    expect(back.status).toBe(2);
    expect(back.stdout).toContain('not one packet was forwarded');
  });

  it('gives each of several captures a file', async () => {
    writePcap(path('other.pcap'), FRAMES.slice(0, 2));
    const { status } = await replayed(INPUT, path('other.pcap'), '--set', 'vlan=none', '--out-dir', path('many'));
    expect(status).toBe(0);
    expect(readFrames(path('many/in.pcapng'))).toHaveLength(5);
    expect(hex(readFrames(path('many/other.pcapng')))).toEqual(hex(FRAMES.slice(0, 2)));
  });
});

describe('a verdict', () => {
  const config = path('node.yaml');
  const network = {
    name: 'blue',
    vni: 42,
    underlay: 'lan',
    peers: ['198.18.0.2'],
    ports: [{ name: 'web', type: 'tap' }],
  };
  writeFileSync(config, stringify({ underlays: [{ name: 'lan', address: '198.18.0.1' }], networks: [network] }));
  const wire = path('wire.pcap');
  writePcap(wire, [
    outer({}, vxlan(42, udp({ src: 2, dst: 1, payload: 30 }))),
    outer({}, vxlan(43, udp({ src: 2, dst: 1 }))),
    outer({}, vxlan(42, tcp({ src: 2, dst: 1, payload: 3 }))),
  ]);
  const golden = path('golden.pcap');
  writePcap(golden, [udp({ src: 2, dst: 1, payload: 30 }), tcp({ src: 2, dst: 1, payload: 3 })]);
  const through = [wire, '--config', config, '--port', 'lan'];

  it('is 0 where packets and counters are as expected', async () => {
    const counters = path('counters.json');
    writeFileSync(counters, '{"read": 3, "dropped": {"unknown-vni": 1}, "ports": [{"name": "web", "txPackets": 2}]}');
    const { status, stdout, stderr } = await replayed(...through, '--expect', golden, '--expect-counters', counters);
    expect(stderr).toBe('');
    expect(stdout).toContain('read 3 = forwarded 2 + dropped 1');
    expect(stdout).toMatch(/unknown-vni +1 /);
    expect(stdout).toContain('4 counters as expected\n\nverdict: as expected');
    expect(status).toBe(0);
  });

  it('is 2 where they are not, and shows what differs', async () => {
    writePcap(path('other.pcap'), [udp({ src: 2, dst: 1, payload: 30, ttl: 63 }), tcp({ src: 2, dst: 1, payload: 3 })]);
    const { status, stdout } = await replayed(...through, '--expect', path('other.pcap'), '--junit', path('junit.xml'));
    expect(status).toBe(2);
    expect(stdout).toMatch(/^ {2}ip\.ttl +22 +64 +63$/m);
    expect(stdout).toContain('verdict: NOT as expected');
    const xml = readFileSync(path('junit.xml'), 'utf8');
    expect(xml).toContain('tests="3" failures="1"');
    expect(xml).toMatch(/<failure message=".* is not as .*other\.pcap: 1 the same, 1 changed">/);
    expect((await replayed(...through, '--expect', path('other.pcap'), '--ignore', 'ip.ttl,ip.checksum')).status).toBe(
      0,
    );
  });

  it('takes the report of an earlier run for counters', async () => {
    const first = await replayed(...through, '--json');
    writeFileSync(path('report.json'), first.stdout);
    expect((await replayed(...through, '--expect-counters', path('report.json'))).status).toBe(0);
    expect(
      (await replayed(golden, '--config', config, '--port', 'web', '--expect-counters', path('report.json'))).status,
    ).toBe(2);
  });

  it('compares each output with the file of its name', async () => {
    const dir = path('by-device');
    expect((await replayed(...through, '--out-dir', dir)).status).toBe(0);
    expect(existsSync(join(dir, 'web.pcapng'))).toBe(true);
    expect((await replayed(...through, '--expect', dir)).status).toBe(0);
  });

  it('says nothing when all is well and nobody wants to know', async () => {
    expect(await weft('replay', ...through, '--expect', golden, '--quiet')).toMatchObject({
      status: 0,
      stdout: '',
      stderr: '',
    });
  });
});

describe('inputs that are not whole', () => {
  it('are replayed as far as they go; the exit code is 4', async () => {
    const cut = path('cut.pcap');
    writePcap(cut, FRAMES);
    truncateSync(cut, readFileSync(cut).length - 1);
    const { status, report } = await replayed(cut, '--pop', 'auto', '--out', OUT, '--json');
    expect(status).toBe(4);
    expect(report).toMatchObject({ read: 4, written: 4, inputs: [{ truncated: true, error: null }] });
    expect(hex(readFrames(OUT))).toEqual(hex(FRAMES.slice(0, 4)));
  });

  it('end inside of their header, where there is no packet', async () => {
    const cut = path('header.pcap');
    writePcap(cut, FRAMES);
    truncateSync(cut, 10);
    const { status, stdout } = await replayed(cut, '--pop', 'auto', '--out', OUT);
    expect(stdout).toContain('the file ends inside of its header');
    expect(status).toBe(4);
  });

  it.each([
    [[INPUT, '--pop', 'auto', '--port', 'x'], 1, '--port needs --config'],
    [[INPUT], 1, 'say what the captures go through'],
    [[INPUT, '--push', 'vxlan:vni=1'], 1, 'needs remote=ADDRESS'],
    [[INPUT, '--set', 'x=1'], 1, "there is no field 'x' to set"],
    [[INPUT, '--pop', 'auto', '--pps', 'fast'], 1, 'must be a number above 0'],
    [['/nonexistent.pcap', '--pop', 'auto'], 2, 'ENOENT'],
    [[INPUT, '--pop', 'auto', '--out', '/nonexistent/x.pcapng'], 2, 'ENOENT'],
    [[INPUT, '--pop', 'auto', '--expect', '/nonexistent.pcap'], 2, 'ENOENT'],
    [[INPUT, '--pop', 'auto', '--expect', '/dev/null'], 2, '/dev/null cannot be read: it is empty'],
    [[INPUT, '--config', '/nonexistent.yaml'], 2, 'ENOENT'],
    [[WEFT, '--pop', 'auto'], 2, 'not a pcap or pcapng file'],
    [['/dev/null', '--pop', 'auto'], 2, '/dev/null: not a pcap or pcapng file: it is empty'],
  ])('%j: %d', async (args, code, message) => {
    const { status, stderr, stdout } = await replayed(...args);
    expect(stderr + stdout).toContain(message);
    expect(status).toBe(code);
  });
});

describe('pipes', () => {
  it('come in and go out, the summary apart from the packets', async () => {
    const [input, output] = [openSync(INPUT, 'r'), openSync(OUT, 'w')];
    const child = spawn(process.execPath, [WEFT, 'replay', '-', '--push', 'vxlan:vni=1,remote=198.18.0.2', '-o', '-'], {
      stdio: [input, output, 'pipe'],
    });
    let said = '';
    child.stderr?.on('data', (text) => (said += text));
    await until('the end', () => child.exitCode !== null && said !== '');
    for (const fd of [input, output]) closeSync(fd);
    expect(child.exitCode).toBe(0);
    expect(said).toContain('read 5 = forwarded 5');
    expect(said).not.toContain('\r');
    expect(hex(readFrames(OUT).map((frame) => frame.subarray(50)))).toEqual(hex(FRAMES));
  });

  it('end with the summary so far when the user has seen enough', async () => {
    const child = spawn(process.execPath, [WEFT, 'replay', '-', '--pop', 'auto', '--out', OUT], {
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    let said = '';
    child.stdout?.on('data', (text) => (said += text));
    child.stdin?.write(readFileSync(INPUT));
    // The capture is read as it comes: what is there is written before more has come.
    await until('the first packets', () => existsSync(OUT), { withinMs: 20_000 });
    child.kill('SIGINT');
    child.stdin?.end();
    await until('the end', () => child.exitCode !== null);
    expect(child.exitCode).not.toBeNull();
    expect(said).toMatch(/^read \d+ = forwarded \d+$/m);
    expect(() => readFrames(OUT)).not.toThrow();
  });
});

describeWith(['python3'], 'the JUnit report', () => {
  it('is XML', async () => {
    await replayed(INPUT, '--pop', 'auto', '--junit', path('x.xml'));
    const script = 'import sys, xml.etree.ElementTree as e; print(e.parse(sys.argv[1]).getroot().attrib["tests"])';
    expect(await runToEnd('python3', ['-c', script, path('x.xml')])).toMatchObject({ status: 0, stdout: '2\n' });
  });
});
