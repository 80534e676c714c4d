#!/usr/bin/env node
// A node from a program: joins two namespaces of this machine with a network of local ports, pings across, shows what the switch learned.
//
//   ip netns add one; ip netns add two
//   node examples/library.mjs
//   ip netns delete one; ip netns delete two
import { execFileSync } from 'node:child_process';
import { createNode, WeftError } from 'weft';

const node = createNode({
  node: { name: 'example' },
  networks: [
    {
      name: 'blue',
      vni: 42,
      ports: [{ name: 'one', type: 'tap', device: 'blue0', netns: 'one', addresses: ['10.0.0.1/24'] }],
    },
  ],
});

node.on('port-added', ({ name, device, path }) => console.log(`port ${name}: ${device}, ${path.receive}`));
node.on('warning', (message) => console.warn(message));

try {
  await node.start();
  // Ports come and go while it runs.
  await node.addPort('blue', { name: 'two', type: 'tap', device: 'blue0', netns: 'two', addresses: ['10.0.0.2/24'] });
  console.log(
    execFileSync('ip', ['netns', 'exec', 'one', 'ping', '-c', '3', '-i', '0.2', '10.0.0.2'], { encoding: 'utf8' }),
  );
  for (const { mac, port, expiresInSec } of node.macs())
    console.log(`${mac} behind port ${port}, expires in ${expiresInSec} s`);
  const { received, sent, dropped } = node.stats().account;
  console.log(`received ${received} packets, sent ${sent}, dropped ${dropped}`);
} catch (error) {
  if (!(error instanceof WeftError)) throw error;
  console.error(`${error.message}\n${error.remedy ?? ''}`);
  process.exitCode = 2;
} finally {
  await node.stop();
}
