import type { Command } from 'commander';
import type { MacDocument } from '../observe/documents.js';
import { duration, print, printJson, table } from './output.js';
import { atNode, defineRead, type ReadOptions, withNode } from './readVerb.js';

interface AddOptions extends ReadOptions {
  port?: string;
  peer?: string;
}

export function defineMac(program: Command): void {
  const mac = defineRead<MacDocument[]>(program, {
    name: 'mac',
    path: '/v1/mac',
    summary: 'show the stations that the switch knows and where they are; add or remove static ones',
    help: 'Examples:\n  weft mac\n  weft mac --node left --json\n  weft mac add blue 02:00:00:00:00:05 --port web',
    text: macText,
  });
  withNode(
    mac
      .command('add')
      .summary('add a static MAC')
      .description('Ties a MAC to a port or peer: it is never learned elsewhere.'),
  )
    .argument('<network>', 'name of the network')
    .argument('<mac>', 'MAC of the station')
    .option('--port <name>', 'port that it is behind')
    .option('--peer <address>', 'peer that it is behind')
    .option('--json', 'print the entry as JSON')
    .addHelpText('after', '\nExample:\n  weft mac add blue 02:00:00:00:00:05 --port web')
    .action((network: string, address: string, options: AddOptions) =>
      atNode(options, async (client) => {
        const { port, peer } = options;
        const staticMac = { mac: address, ...(port ? { port } : {}), ...(peer ? { peer } : {}) };
        const added = await client.post<MacDocument>('/v1/mac', { network, staticMac });
        if (options.json) printJson(added);
        else print(`static MAC ${added.mac} added to network ${added.network}: ${placeText(added)}`);
      }),
    );
  withNode(
    mac.command('remove').summary('remove a static MAC').description('Removes a static MAC; it may be learned again.'),
  )
    .argument('<network>', 'name of the network')
    .argument('<mac>', 'MAC of the station')
    .addHelpText('after', '\nExample:\n  weft mac remove blue 02:00:00:00:00:05')
    .action((network: string, address: string, options: ReadOptions) =>
      atNode(options, async (client) => {
        await client.delete(`/v1/mac/${encodeURIComponent(network)}/${encodeURIComponent(address)}`);
        print(`static MAC ${address} removed from network ${network}`);
      }),
    );
}

const placeText = ({ port, peer }: MacDocument) => (port === null ? `peer ${peer ?? '(removed)'}` : `port ${port}`);

export function macText(macs: MacDocument[]): string {
  if (macs.length === 0) return 'no MACs known yet';
  const rows = macs.map((entry) => [
    entry.network,
    entry.mac,
    placeText(entry),
    entry.static ? 'static' : entry.held ? 'held' : 'learned',
    entry.expiresInSec === null ? 'never' : `in ${duration(entry.expiresInSec)}`,
  ]);
  return table(['NETWORK', 'MAC', 'BEHIND', 'KIND', 'EXPIRES'], rows);
}
