import type { Command } from 'commander';
import type { PeerInput } from '../control/config/config.js';
import type { PeerDocument } from '../observe/documents.js';
import { endpointText, print, printJson } from './output.js';
import { collect, integer } from './port.js';
import { atNode, type ReadOptions, withNode } from './readVerb.js';

interface AddOptions extends ReadOptions {
  udpPort?: number;
  prefix: string[];
  mac?: string;
}

export function definePeer(program: Command): void {
  const peer = program
    .command('peer')
    .summary('add or remove a peer of a running node')
    .description('Changes the peers of a running node. The configuration file stays as it is.');
  withNode(peer.command('add').summary('add a peer').description('Adds a remote tunnel endpoint to a network.'))
    .argument('<network>', 'name of the network')
    .argument('<address>', 'address of the peer (IPv4 or IPv6)')
    .option('--udp-port <port>', "UDP port that the peer listens on (default: the network's own)", integer)
    .option('--prefix <prefix>', 'prefix behind the peer, in a network of mode l3; may be repeated', collect, [])
    .option('--mac <mac>', 'its MAC inside of the tunnel, in a VXLAN network of mode l3')
    .option('--json', 'print the peer as JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  weft peer add blue 192.0.2.3\n  weft peer add routed 192.0.2.3 --prefix 10.42.3.0/24',
    )
    .action((network: string, address: string, options: AddOptions) =>
      atNode(options, async (client) => {
        const added = await client.post<PeerDocument>('/v1/peers', { network, peer: peerOf(address, options) });
        if (options.json) printJson(added);
        else print(`peer ${endpointText(added)} added to network ${added.network}`);
      }),
    );
  withNode(
    peer.command('remove').summary('remove a peer').description('Removes a remote tunnel endpoint from a network.'),
  )
    .argument('<network>', 'name of the network')
    .argument('<address>', 'address of the peer')
    .addHelpText('after', '\nExample:\n  weft peer remove blue 192.0.2.3')
    .action((network: string, address: string, options: ReadOptions) =>
      atNode(options, async (client) => {
        await client.delete(`/v1/peers/${encodeURIComponent(network)}/${encodeURIComponent(address)}`);
        print(`peer ${address} removed from network ${network}`);
      }),
    );
}

function peerOf(address: string, { udpPort, prefix, mac }: AddOptions): PeerInput {
  const given = { udpPort, mac, prefixes: prefix.length > 0 ? prefix : undefined };
  const rest = Object.entries(given).filter(([, value]) => value !== undefined);
  return rest.length === 0 ? address : { address, ...Object.fromEntries(rest) };
}
