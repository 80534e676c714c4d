import type { Command } from 'commander';
import type { RouteAnswer, RouteDocument } from '../observe/documents.js';
import { print, printJson, table } from './output.js';
import { atNode, defineRead, type ReadOptions, withNode } from './readVerb.js';

export function defineRoute(program: Command): void {
  defineRead<RouteDocument[]>(program, {
    name: 'route',
    path: '/v1/routes',
    summary: 'show the routes of networks of mode l3, or where an address goes',
    help: 'Examples:\n  weft route\n  weft route get 10.42.2.7 --network routed',
    text: routesText,
  });
  const route = program.commands.find((command) => command.name() === 'route')!;
  withNode(route.command('get').summary('where an address goes').description('Says where packets to an address go.'))
    .argument('<address>', 'destination (IPv4 or IPv6)')
    .requiredOption('--network <name>', 'network of mode l3')
    .option('--json', 'print the answer as JSON')
    .addHelpText('after', '\nExample:\n  weft route get 10.42.2.7 --network routed')
    .action((address: string, _own: unknown, command: Command) => {
      // The verb above has some of the same options, and takes them when they stand in front.
      const options = command.optsWithGlobals<ReadOptions & { network: string }>();
      return atNode(options, async (client) => {
        const query = new URLSearchParams({ network: options.network, address });
        const answer = await client.get<RouteAnswer>(`/v1/routes?${query}`);
        if (options.json) printJson(answer);
        else print(answerText(answer));
      });
    });
}

export function routesText(routes: RouteDocument[]): string {
  if (routes.length === 0) return 'no routes';
  const rows = routes.map((route) => [route.network, route.prefix, wayText(route)]);
  return table(['NETWORK', 'PREFIX', 'TO'], rows);
}

export function answerText({ network, address, route }: RouteAnswer): string {
  if (route === null) return `${address}: network ${network} has no route`;
  return `${address}: ${wayText(route)}, by ${route.prefix}`;
}

function wayText({ port, peer, direct }: RouteDocument): string {
  if (port !== null) return `port ${port}`;
  return `peer ${peer ?? '(removed)'}${direct ? ' (direct)' : ''}`;
}
