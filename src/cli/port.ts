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
  path?: string;
  mode?: string;
  socketMode?: string;
  devargs?: string;
}

export function definePort(program: Command): void {
  const port = program
    .command('port')
    .summary('add or remove a port of a running node')
    .description('Changes the ports of a running node. The configuration file stays as it is.');
  withNode(port.command('add').summary('add a port').description('Adds a port with a device to a network.'))
    .argument('<network>', 'name of the network')
    .argument('<name>', 'name of the port')
    .option('--type <type>', 'tap, tun for a network of mode l3, vhost-user or dpdk', 'tap')
    .option('--device <name>', 'interface name (default: the name of the port)')
    .option('--netns <name>', 'network namespace of the device, a name or a path')
    .option('--address <prefix>', 'address with prefix length, may be repeated', collect, [])
    .option('--prefix <prefix>', 'prefix behind a tun port, may be repeated', collect, [])
    .option('--mac <mac>', 'MAC of the device')
    .option('--mtu <bytes>', 'MTU (default: that of the network)', integer)
    .option('--queues <count>', 'queues of the device', integer)
    .option('--owner <user>', 'user that may attach to the device, or that the socket belongs to')
    .option('--group <group>', 'group likewise')
    .option('--attach', 'attach to a device that exists, instead of making one')
    .option('--path <socket>', 'vhost-user: socket that the virtual machine is reached by')
    .option('--mode <mode>', 'vhost-user: server, or client where the machine listens')
    .option('--socket-mode <mode>', 'vhost-user: permissions of the socket, like 0660')
    .option('--devargs <devargs>', 'dpdk: device of DPDK')
    .option('--json', 'print the port as JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  weft port add blue web2 --netns web2 --address 10.0.0.3/24\n  weft port add blue vm1 --device tap0 --attach\n  weft port add routed r1 --type tun --netns web2 --address 10.42.1.1/24 --prefix 10.42.1.0/24\n  weft port add blue vm2 --type vhost-user --path /run/vm2.sock --group kvm --socket-mode 0660\n  weft port add blue mem0 --type dpdk --devargs net_memif0,role=server,socket=/run/memif.sock,socket-abstract=no',
    )
    .action((network: string, name: string, options: AddOptions) =>
      atNode(options, async (client) => {
        const added = await client.post<PortDocument>('/v1/ports', { network, port: devicePort(name, options) });
        if (options.json) printJson(added);
        else
          print(
            `port ${added.name} added to network ${added.network}: ${added.device === null ? '' : `device ${added.device}, `}MTU ${added.mtu}, ${added.path.receive}`,
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
  const { device, netns, mac, mtu, queues, owner, group, path, mode, socketMode, devargs } = options;
  const accounts = { owner: account(owner), group: account(group) };
  const given = { device, netns, mac, mtu, queues, ...accounts, path, mode, socketMode, devargs };
  const create = options.attach ? { create: false } : {};
  const addresses = options.address.length > 0 ? { addresses: options.address } : {};
  const prefixes = options.prefix.length > 0 ? { prefixes: options.prefix } : {};
  return {
    type: options.type,
    name,
    ...create,
    ...addresses,
    ...prefixes,
    ...Object.fromEntries(Object.entries(given).filter(([, v]) => v !== undefined)),
    // The node judges it, as it judges a file.
  } as PortInput;
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
