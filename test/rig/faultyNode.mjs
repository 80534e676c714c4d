// `weft up CONFIG` with a supervisor that can be hurt: SIGUSR2 ends worker 0 as a crash would, with WEFT_VICTIMS=all each worker in turn, and
// WEFT_FAULTY_STEP names the step of the walk in which its first incarnation throws at the first real frame.
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { createNode } from '../../dist/control/node.js';
import { createSupervisor } from '../../dist/worker/supervisor.js';

const [, file] = process.argv.slice(2);
let supervisor;
const node = createNode(
  parse(readFileSync(file, 'utf8')),
  {},
  {
    dataplane({ node: { workers } }) {
      supervisor = createSupervisor({ workers, faultyStep: process.env.WEFT_FAULTY_STEP });
      return supervisor;
    },
  },
);
for (const name of ['worker-lost', 'worker-replaced'])
  node.on(name, (event) => console.log(name, JSON.stringify(event)));
let deaths = 0;
process.on('SIGUSR2', () => {
  const victim = process.env.WEFT_VICTIMS === 'all' ? deaths++ % node.config.node.workers : 0;
  supervisor.terminate(victim);
});
process.on('SIGTERM', async () => {
  await node.stop();
  process.exit(0);
});
await node.start();
console.log(`ready: node ${node.name}`);
