import { type Command, InvalidArgumentError } from 'commander';
import type { PortInput } from '../control/config/config.js';
import type { PortDocument } from '../observe/documents.js';
import { print, printJson } from './output.js';
import { atNode, type ReadOptions, withNode } from './readVerb.js';

interface AddOptions extends ReadOptions {
  type: string;
  prefix: string[];
  device?: string;
  netns?: string;
  address: string[];
  mac?: string;
  mtu?: number;
  queues?: number;
  owner?: string;
  group?: string;
  attach?: boolean;
}

export function definePort(program: Command): void {
  const port = program
    .command('port')
    .summary('add or remove a port of a running node')
    .description('Changes the ports of a running node. The configuration file stays as it is.');
  withNode(port.command('add').summary('add a TAP or TUN port').description('Adds a port with a device to a network.'))
    .argument('<network>', 'name of the network')
    .argument('<name>', 'name of the port')
    .option('--type <type>', 'tap, or tun for a network of mode l3', 'tap')
    .option('--device <name>', 'interface name (default: the name of the port)')
    .option('--netns <name>', 'network namespace of the device, a name or a path')
    .option('--address <prefix>', 'address with prefix length, may be repeated', collect, [])
    .option('--prefix <prefix>', 'prefix behind a tun port, may be repeated', collect, [])
    .option('--mac <mac>', 'MAC of the device')
    .option('--mtu <bytes>', 'MTU (default: that of the network)', integer)
    .option('--queues <count>', 'queues of the device', integer)
    .option('--owner <user>', 'user that may attach to the device')
    .option('--group <group>', 'group that may attach to the device')
    .option('--attach', 'attach to a device that exists, instead of making one')
    .option('--json', 'print the port as JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  weft port add blue web2 --netns web2 --address 10.0.0.3/24\n  weft port add blue vm1 --device tap0 --attach\n  weft port add routed r1 --type tun --netns web2 --address 10.42.1.1/24 --prefix 10.42.1.0/24',
    )
    .action((network: string, name: string, options: AddOptions) =>
      atNode(options, async (client) => {
        const added = await client.post<PortDocument>('/v1/ports', { network, port: devicePort(name, options) });
        if (options.json) printJson(added);
        else
          print(
            `port ${added.name} added to network ${added.network}: device ${added.device}, MTU ${added.mtu}, ${added.path.receive}`,
          );
      }),
    );
  withNode(
    port.command('remove').summary('remove a port').description('Removes a port, and its device when weft made it.'),
  )
    .argument('<name>', 'name of the port')
    .addHelpText('after', '\nExample:\n  weft port remove web2')
    .action((name: string, options: ReadOptions) =>
      atNode(options, async (client) => {
        await client.delete(`/v1/ports/${encodeURIComponent(name)}`);
        print(`port ${name} removed`);
      }),
    );
}

function devicePort(name: string, options: AddOptions): PortInput {
  const { device, netns, mac, mtu, queues, owner, group } = options;
  const given = { device, netns, mac, mtu, queues, owner: account(owner), group: account(group) };
  const create = options.attach ? { create: false } : {};
  const addresses = options.address.length > 0 ? { addresses: options.address } : {};
  const prefixes = options.prefix.length > 0 ? { prefixes: options.prefix } : {};
  return {
    type: options.type as 'tap' | 'tun',
    name,
    ...create,
    ...addresses,
    ...prefixes,
    ...Object.fromEntries(Object.entries(given).filter(([, v]) => v !== undefined)),
  };
}

function account(text: string | undefined): string | number | undefined {
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : text;
}

/** Gathers the values of an option that may be repeated. */
export function collect(value: string, before: string[]): string[] {
  return [...before, value];
}

/** A whole number of the command line. */
export function integer(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('It must be a whole number.');
}
