// What the addon answers to a process that is not root: prints the errors and the probe as JSON.
import { createRequire } from 'node:module';

const addon = createRequire(import.meta.url)('../../native/tun/weft_tun.node');
process.setgroups([]);
process.setgid(65534);
process.setuid(65534);

const attempts = {
  openTap: () => addon.openTap({ name: 'wtdenied', create: true, queues: 1, vnetHdr: true, offloads: 0 }),
  setns: () => addon.linkList({ netns: '/proc/self/ns/net' }),
  linkSet: () => addon.linkSet({ name: 'lo', mtu: 65535 }),
  rawOpen: () => addon.rawOpen({ family: 4, address: '127.0.0.1', protocol: 47 }),
  lowPort: () => addon.udpOpen({ family: 4, address: '127.0.0.1', port: 1 }),
};
const errors = {};
for (const [name, attempt] of Object.entries(attempts)) {
  try {
    attempt();
    errors[name] = 'nothing was thrown';
  } catch ({ code, syscall }) {
    errors[name] = { code, syscall };
  }
}
console.log(JSON.stringify({ errors, probe: addon.probe() }));
