// The captures themselves: what tshark reads in them is what the stored table says, and it finds nothing wrong.
//
//   WEFT_WRITE_GOLDEN=1 npx vitest run --project golden test/golden/captures.test.ts     writes the table
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { describeWith } from '../rig/requirements.js';
import { captureFile, INNER_TABLE, readCapture, TUNNEL_CAPTURES, tableText } from './innerTable.js';

/** Captures that are no single tunnel of ours. */
const OTHERS = ['kernel-wireguard.pcap', 'merged.pcapng'];

describeWith(['tshark'], 'captures of other implementations', () => {
  it('are read by tshark without a fault, and the table of inner packets is what it reads', async () => {
    const rows: string[][] = [];
    for (const name of Object.keys(TUNNEL_CAPTURES)) {
      const { inner, faults } = await readCapture(name);
      expect(faults, name).toEqual([]);
      for (const [i, found] of inner.entries()) {
        if (!found) throw new Error(`${name}: tshark finds no inner packet in packet ${i + 1}`);
        rows.push([name, `${i + 1}`, found.protocol, `${found.at}`]);
      }
    }
    if (process.env.WEFT_WRITE_GOLDEN) writeFileSync(INNER_TABLE, tableText(rows));
    expect(tableText(rows)).toBe(readFileSync(INNER_TABLE, 'utf8'));
    // tshark starts once for each capture.
  }, 120_000);

  it('are all in the table', () => {
    const files = readdirSync(captureFile('')).filter((name) => /\.pcap(ng)?$/.test(name));
    expect(files.sort()).toEqual([...Object.keys(TUNNEL_CAPTURES).map((name) => `${name}.pcap`), ...OTHERS].sort());
  });
});
