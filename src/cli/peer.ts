import type { Command } from 'commander';
import type { PeerDocument } from '../observe/documents.js';
import { print, printJson } from './output.js';
import { integer } from './port.js';
import { atNode, type ReadOptions, withNode } from './readVerb.js';

interface AddOptions extends ReadOptions {
  udpPort?: number;
}

export function definePeer(program: Command): void {
  const peer = program
    .command('peer')
    .summary('add or remove a peer of a running node')
    .description('Changes the peers of a running node. The configuration file stays as it is.');
  withNode(peer.command('add').summary('add a peer').description('Adds a remote tunnel endpoint to a network.'))
    .argument('<network>', 'name of the network')
    .argument('<address>', 'address of the peer (IPv4)')
    .option('--udp-port <port>', "UDP port that the peer listens on (default: the underlay's own)", integer)
    .option('--json', 'print the peer as JSON')
    .addHelpText('after', '\nExample:\n  weft peer add blue 192.0.2.3')
    .action((network: string, address: string, options: AddOptions) =>
      atNode(options, async (client) => {
        const { udpPort } = options;
        const body = { network, peer: udpPort === undefined ? address : { address, udpPort } };
        const added = await client.post<PeerDocument>('/v1/peers', body);
        if (options.json) printJson(added);
        else print(`peer ${added.address}:${added.udpPort} added to network ${added.network}`);
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
