// Where tshark finds the inner packet of each tunnel packet in captures/, as a table, so that tests need no tshark.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readFrames, readTable, writePcap } from '../rig/captureFiles.js';
import { onesSum } from '../rig/frames.js';
import { type Inner, innerOf, type Reading, readLayers } from '../rig/tsharkLayers.js';

export const captureFile = (name: string) => fileURLToPath(new URL(`captures/${name}`, import.meta.url));
export const INNER_TABLE = captureFile('inner.tsv');

/** Captures of tunnels, by name, and what tshark must be told to read them. */
export const TUNNEL_CAPTURES: Record<string, string[]> = {
  'kernel-fou': ['udp.port==5555,ip'],
  'kernel-geneve': [],
  'kernel-geneve-crit': [],
  'kernel-geneve-csum': [],
  'kernel-geneve-opts': [],
  'kernel-gre': [],
  'kernel-gre-kcs': [],
  'kernel-gretap': [],
  'kernel-gretap-key': [],
  'kernel-gue': ['udp.port==5556,ip'],
  'kernel-ip4ip6': [],
  'kernel-ip6gretap': [],
  'kernel-ipip': [],
  'kernel-vxlan': [],
  'kernel-vxlan-gpe': [],
  'kernel-vxlan-host-noudpcsum': [],
  'kernel-vxlan-host-udpcsum': [],
  'kernel-vxlan-nocsum': [],
  'kernel-vxlan6': [],
  'ovs-geneve': [],
  'ovs-geneve-opts': [],
  'ovs-gre': [],
  'ovs-gre-key': [],
  'ovs-vxlan': [],
};

/** Ethernet, IPv4 and UDP. */
const OUTER_BYTES = 14 + 20 + 8;
const GUE = Buffer.from('00040000', 'hex');

/** The packet as it were without its GUE header. */
function withoutGue(frame: Buffer): Buffer {
  if (!frame.subarray(OUTER_BYTES, OUTER_BYTES + GUE.length).equals(GUE)) throw new Error('not a GUE header');
  const rest = Buffer.concat([frame.subarray(0, OUTER_BYTES), frame.subarray(OUTER_BYTES + GUE.length)]);
  for (const length of [16, 38]) rest.writeUInt16BE(rest.readUInt16BE(length) - GUE.length, length);
  rest.writeUInt16BE(0, 24);
  rest.writeUInt16BE(0xffff - onesSum(rest.subarray(14, 34)), 24);
  return rest;
}

/** tshark has no reader for GUE: it is given the packets without that header, whose four bytes are checked here. */
async function readWithoutGue(path: string, decode: string[]): Promise<Reading[]> {
  const folder = mkdtempSync(join(tmpdir(), 'weft-golden-'));
  try {
    const file = join(folder, 'stripped.pcap');
    writePcap(file, readFrames(path).map(withoutGue));
    const moved = (at: number) => (at < OUTER_BYTES ? at : at + GUE.length);
    return (await readLayers(file, decode)).map(({ layers, faults }) => ({
      layers: layers.map((layer) => ({ ...layer, at: moved(layer.at) })),
      faults,
    }));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

export interface CaptureReading {
  inner: (Inner | null)[];
  faults: string[];
}

/** What tshark says of a capture now. */
export async function readCapture(name: string): Promise<CaptureReading> {
  const read = name === 'kernel-gue' ? readWithoutGue : readLayers;
  const readings = await read(captureFile(`${name}.pcap`), TUNNEL_CAPTURES[name]);
  return { inner: readings.map(innerOf), faults: readings.flatMap(({ faults }) => faults) };
}

/** The stored table: inner packet of each frame of a capture. */
export function storedInner(name: string): Inner[] {
  return readTable(INNER_TABLE)
    .filter(({ capture }) => capture === name)
    .map(({ protocol, at }) => ({ protocol: protocol as Inner['protocol'], at: Number(at) }));
}

export const tableText = (rows: string[][]) =>
  [['capture', 'packet', 'protocol', 'at'], ...rows].map((row) => `${row.join('\t')}\n`).join('');
