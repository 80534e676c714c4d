// Descriptors in tables of their own (VIRTIO_RING_F_INDIRECT_DESC), as the drivers of Linux and DPDK use them for what is in several pieces: every
// way to cut a frame, both kinds of rings. The node runs under AddressSanitizer where that is to be had. Tables that are wrong: vhostFaults.test.ts.
import { fileURLToPath } from 'node:url';
import { afterEach, expect, it } from 'vitest';
import { runToEnd } from '../rig/node.js';
import { describeWith } from '../rig/requirements.js';
import { startVhostNode, type VhostNode } from '../rig/vhostNode.js';

const PROGRAM = fileURLToPath(new URL('../rig/vhostTables.py', import.meta.url));
let node: VhostNode | null = null;

afterEach(async () => {
  await node?.stop();
  node = null;
});

describeWith(['addon', 'dpdk', 'python3'], 'frames out of tables and into tables', () => {
  it('arrive as they were sent, however they were cut', { timeout: 120_000 }, async () => {
    node = await startVhostNode({ blue: { good0: {}, good1: {} } });
    const { stdout, stderr } = await runToEnd('python3', [PROGRAM, node.folder], 100_000);
    expect(stderr).toBe('');
    const outcomes = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(outcomes).toHaveLength(12);
    for (const outcome of outcomes) expect(outcome).toEqual({ ...outcome, offered: true, sent: 140, arrived: 140 });
    expect(await node.ask('drops')).toEqual([]);
    expect(node.errors()).not.toContain('AddressSanitizer');
  });
});
