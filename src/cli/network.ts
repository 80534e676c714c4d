import type { Command } from 'commander';
import type { NetworkInput } from '../control/config/config.js';
import type { NetworkDocument } from '../observe/documents.js';
import { print, printJson } from './output.js';
import { collect, integer } from './port.js';
import { atNode, type ReadOptions, withNode } from './readVerb.js';

interface AddOptions extends ReadOptions {
  vni?: number;
  underlay: string[];
  encapsulation?: string;
  mode?: string;
  mtu?: number;
  peer: string[];
}

export function defineNetwork(program: Command): void {
  const network = program
    .command('network')
    .summary('add or remove a network of a running node')
    .description('Changes the networks of a running node. The configuration file stays as it is.');
  withNode(
    network
      .command('add')
      .summary('add a network')
      .description(
        'Adds a network. Ports are added to it with `weft port add`; settings beyond these go by `weft reload`.',
      ),
  )
    .argument('<name>', 'name of the network')
    .option('--underlay <name>', 'underlay that carries it, may be repeated (default: local ports only)', collect, [])
    .option('--vni <id>', 'network identifier of VXLAN and Geneve', integer)
    .option('--encapsulation <kind>', 'vxlan, geneve, gre, ipip, fou or gue (default: vxlan)')
    .option('--mode <mode>', 'l2, l3 or xconnect')
    .option('--mtu <bytes>', 'largest inner packet (default: what the underlay leaves)', integer)
    .option('--peer <address>', 'remote tunnel endpoint, may be repeated', collect, [])
    .option('--json', 'print the network as JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  weft network add green --underlay lan --vni 43 --peer 192.0.2.2\n  weft network add local',
    )
    .action((name: string, options: AddOptions) =>
      atNode(options, async (client) => {
        const added = await client.post<NetworkDocument>('/v1/networks', { network: networkOf(name, options) });
        if (options.json) printJson(added);
        else
          print(
            `network ${added.name} added: ${added.mode}, ${added.encapsulation ?? 'local ports'}, MTU ${added.mtu}`,
          );
      }),
    );
  withNode(
    network
      .command('remove')
      .summary('remove a network')
      .description('Removes a network with its ports and peers, and the bridges that it is part of.'),
  )
    .argument('<name>', 'name of the network')
    .addHelpText('after', '\nExample:\n  weft network remove green')
    .action((name: string, options: ReadOptions) =>
      atNode(options, async (client) => {
        await client.delete(`/v1/networks/${encodeURIComponent(name)}`);
        print(`network ${name} removed`);
      }),
    );
}

function networkOf(name: string, { vni, underlay, encapsulation, mode, mtu, peer }: AddOptions): NetworkInput {
  const underlays = underlay.length > 1 ? underlay : underlay[0];
  const peers = peer.length > 0 ? peer : undefined;
  const given = { vni, underlay: underlays, encapsulation, mode, mtu, peers };
  return {
    name,
    ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
  } as NetworkInput;
}
