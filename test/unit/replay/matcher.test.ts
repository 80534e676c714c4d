import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import '../../../src/vitest.js';
import { writePcap } from '../../rig/captureFiles.js';
import { udp } from '../../rig/frames.js';
import { someReport } from './reports.js';

let folder: string;
let out: string;
let same: string;
let other: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'weft-matcher-'));
  [out, same, other] = ['out.pcap', 'same.pcap', 'other.pcap'].map((name) => join(folder, name));
  writePcap(out, [udp()]);
  writePcap(same, [udp()]);
  writePcap(other, [udp({ ttl: 3 })]);
});
afterEach(() => rmSync(folder, { recursive: true }));

const written = () => someReport({ outputs: [{ file: out, device: 'lan', packets: 9, bytes: 378 }] });
/** The message of an assertion that fails. */
const failure = (assertion: Promise<void>) =>
  assertion.then(
    () => 'passed',
    (error: Error) => error.message,
  );

describe('toMatchCapture', () => {
  it('takes a report, the promise of one, and the path of a capture', async () => {
    await expect(written()).toMatchCapture(same);
    await expect(Promise.resolve(written())).toMatchCapture(same);
    await expect(out).toMatchCapture(same);
  });

  it('shows which fields differ', async () => {
    const message = await failure(expect(Promise.resolve(written())).toMatchCapture(other));
    expect(message).toContain(`${out} is not as ${other}: 0 the same, 1 changed`);
    expect(message).toMatch(/^ {2}ip\.ttl +22 +64 +3$/m);
  });

  it('takes what is to be ignored', async () => {
    await expect(out).toMatchCapture(other, { ignore: ['ip.ttl', 'ip.checksum'] });
    expect(await failure(expect(out).toMatchCapture(other, { ignore: ['ip.ttl'] }))).toContain('ip.checksum');
  });

  it('can be negated', async () => {
    await expect(out).not.toMatchCapture(other);
    expect(await failure(expect(out).not.toMatchCapture(same))).toContain('expected the packets not to be those of');
  });

  it('fails where nothing can be compared', async () => {
    expect(await failure(expect(someReport({ outputs: [] })).toMatchCapture(same))).toContain('the totals');
    const silent = someReport({ outputs: [], written: 0, unwritten: 9 });
    expect(await failure(expect(silent).toMatchCapture(same))).toContain('wrote no capture');
    expect(await failure(expect(3).toMatchCapture(same))).toContain('expected a report of replay()');
    expect(await failure(expect(out).toMatchCapture(join(folder, 'no.pcap')))).toContain('cannot be read: ENOENT');
    const damaged = written();
    damaged.inputs[0] = { ...damaged.inputs[0], error: 'block length 3' };
    expect(await failure(expect(damaged).toMatchCapture(same))).toContain('a.pcap is damaged: block length 3');
  });

  it('fails, negated too, where nothing can be compared', async () => {
    expect(await failure(expect(3).not.toMatchCapture(same))).toContain('expected a report of replay()');
  });
});
