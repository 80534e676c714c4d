// A node in a process of its own, because what is done to it may end it. `vhostNode.mjs CONFIG.json`; a word on stdin is a question, its
// answer one line of JSON: `state`, `drops`, or `remove NAME`, `add NETWORK JSON`.
import { readFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { arenaShapeOf } from '../../dist/control/arenaShape.js';
import { createNode } from '../../dist/control/node.js';
import { createSupervisor } from '../../dist/worker/supervisor.js';

const say = (answer) => console.log(JSON.stringify(answer));
let supervisor;
const node = createNode(
  JSON.parse(readFileSync(process.argv[2], 'utf8')),
  { control: false },
  {
    dataplane(config) {
      const { workers } = config.node;
      supervisor = createSupervisor({ workers, shape: arenaShapeOf(config) });
      return supervisor;
    },
  },
);

const warnings = [];
node.on('warning', (message) => warnings.push(message));

async function state() {
  const { ports, hints } = node.status();
  const taken = Object.entries(supervisor.dpdkState()).filter(([, { total, free }]) => total !== free);
  return {
    descriptors: (await readdir('/proc/self/fd')).length,
    residentMb: Math.round(process.memoryUsage.rss() / 2 ** 20),
    taken: Object.fromEntries(taken.map(([pool, { total, free }]) => [pool, total - free])),
    ports: Object.fromEntries(ports.map(({ name, deviceState }) => [name, deviceState])),
    restarts: node.workers().reduce((sum, { restarts }) => sum + restarts, 0),
    hints,
    warnings,
  };
}

const answers = {
  state,
  drops: () => node.drops().reasons,
  remove: (name) => node.removePort(name).then(() => 'removed'),
  add: (network, port) => node.addPort(network, JSON.parse(port)).then(() => 'added'),
};

await node.start();
say('ready');
for await (const line of createInterface({ input: process.stdin })) {
  const [word, ...rest] = line.split(' ');
  try {
    say((await answers[word](...rest)) ?? null);
  } catch (error) {
    say({ error: error.message });
  }
}
await node.stop();
say('stopped');
process.exit(0);
