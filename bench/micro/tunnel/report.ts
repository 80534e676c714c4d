import { Worker } from 'node:worker_threads';
import type { Series, Target } from '../../report/report.js';
import { median, ratios } from '../../report/statistics.js';
import { cell, type Table } from '../../report/table.js';
import { INNER_BYTES } from './bench.js';
import { GENEVE, YARDSTICK } from './forms.js';
import type { TunnelAssignment, TunnelOutcome } from './tunnelWorker.js';

/** Geneve without options costs what VXLAN does. */
const GENEVE_MAX = 1.1;

function runInThread(passes: number): Promise<TunnelOutcome[]> {
  const workerData: TunnelAssignment = { passes };
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./tunnelWorker.js', import.meta.url), { workerData });
    worker.once('message', resolve);
    worker.once('error', reject);
    worker.once('exit', () => reject(new Error('tunnels: no result')));
  });
}

/** Every form in every pass of every thread: what is compared was measured within a few milliseconds. */
export async function measureTunnels(threads: number, passes: number): Promise<TunnelOutcome[]> {
  const all = await runInThread(passes);
  for (let t = 1; t < threads; t++) {
    for (const [k, { encapNs, decapNs }] of (await runInThread(passes)).entries()) {
      all[k].encapNs.push(...encapNs);
      all[k].decapNs.push(...decapNs);
    }
  }
  return all;
}

const outcomeOf = (outcomes: TunnelOutcome[], name: string) => outcomes.find((o) => o.name === name) as TunnelOutcome;

export function tunnelTable(outcomes: TunnelOutcome[]): Table {
  const yardstick = outcomeOf(outcomes, YARDSTICK);
  return {
    title: `tunnel: ${INNER_BYTES} B frames or the packets in them, whole outer frames over IPv4 or IPv6, ns a packet`,
    columns: ['tunnel', 'header bytes', 'encap', `/ ${YARDSTICK}`, 'decap', `/ ${YARDSTICK}`],
    rows: outcomes.map(({ name, headerBytes, encapNs, decapNs }) => [
      name,
      String(headerBytes),
      cell(encapNs),
      cell(ratios(encapNs, yardstick.encapNs), 2),
      cell(decapNs),
      cell(ratios(decapNs, yardstick.decapNs), 2),
    ]),
  };
}

export function tunnelSeries(outcomes: TunnelOutcome[]): Series[] {
  const yardstick = outcomeOf(outcomes, YARDSTICK);
  return outcomes.flatMap(({ name, encapNs, decapNs }) => [
    { name: `tunnel/${name}/encap`, unit: 'ns/packet', samples: encapNs },
    { name: `tunnel/${name}/decap`, unit: 'ns/packet', samples: decapNs },
    { name: `tunnel/${name}/encap-to-vxlan`, unit: 'ratio', samples: ratios(encapNs, yardstick.encapNs) },
    { name: `tunnel/${name}/decap-to-vxlan`, unit: 'ratio', samples: ratios(decapNs, yardstick.decapNs) },
  ]);
}

export function tunnelTargets(outcomes: TunnelOutcome[]): Target[] {
  const yardstick = outcomeOf(outcomes, YARDSTICK);
  const geneve = outcomeOf(outcomes, GENEVE);
  const target = (way: 'encap' | 'decap', value: number): Target => ({
    text: `${way} of Geneve without options, to VXLAN's`,
    value,
    limit: GENEVE_MAX,
    sense: 'below',
  });
  return [
    target('encap', median(ratios(geneve.encapNs, yardstick.encapNs))),
    target('decap', median(ratios(geneve.decapNs, yardstick.decapNs))),
  ];
}

export const TUNNEL_NOTE =
  'Tunnels: all forms in one thread, as a node runs them, in turns of 100 bursts. Encap is headers, messages, account; decap is outer headers, tunnel, network and peer, options and sequence numbers. A ratio is of figures taken within one turn.';
