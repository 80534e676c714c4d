// A process that holds a TAP device until it is killed. Arguments: path of the namespace, name of the device.
import { createRequire } from 'node:module';

const addon = createRequire(import.meta.url)('../../native/tun/weft_tun.node');
const [, , netns, name] = process.argv;
addon.openTap({ netns, name, create: true, queues: 2, vnetHdr: true, offloads: 0 });
console.log('open');
setInterval(() => {}, 1000);
