// A folder of a test file's own, with a capture to read from and a place to write to.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach } from 'vitest';
import { writePcap } from '../rig/captureFiles.js';
import { arpRequest, tcp, toHex, udp } from '../rig/frames.js';

/** Frames of every sort that a tunnel may carry. */
export const FRAMES = [
  arpRequest(1),
  udp({ payload: 30 }),
  tcp({ payload: 1200, tags: [[0x8100, 7]] }),
  tcp({ family: 6, payload: 9 }),
  udp({ family: 6, payload: 700, tos: 0xb9 }),
];

export const hex = (frames: Uint8Array[]) => frames.map(toHex);

/** `INPUT` holds FRAMES; `OUT` is not there when a test begins. */
export function makeScratch(name: string) {
  const folder = mkdtempSync(join(tmpdir(), `weft-${name}-`));
  afterAll(() => rmSync(folder, { recursive: true }));
  const path = (file: string) => join(folder, file);
  const OUT = path('out.pcapng');
  beforeEach(() => rmSync(OUT, { force: true }));
  const INPUT = path('in.pcap');
  writePcap(INPUT, FRAMES);
  return { path, INPUT, OUT };
}
