import { join } from 'node:path';
import { background } from '../../dist/cli/lab/commands.js';
import type { Undo } from '../../dist/cli/lab/undo.js';
import { createClient } from '../../dist/control/api/client.js';
import type { ConfigInput } from '../../dist/control/config/config.js';
import type { StatusDocument } from '../../dist/observe/documents.js';
import { inside, WEFT, writeConfig } from '../system/rig.js';
import { waitReady } from '../system/transfer.js';
import { wake } from './contestant.js';

export interface WeftNode {
  pid: number;
  /** What `weft status --json` shows. */
  status(): Promise<StatusDocument>;
}

/** `weft up` with a configuration. `program`: the Node that runs it, and its arguments; `netns`: where devices of the kernel belong to it. */
export async function startWeft(
  folder: string,
  name: string,
  config: ConfigInput,
  program: readonly string[],
  undo: Undo,
  signal: AbortSignal,
  netns?: string,
): Promise<WeftNode> {
  const socket = join(folder, `${name}.sock`);
  const file = writeConfig(folder, name, { ...config, node: { ...config.node, name, socket } });
  const log = join(folder, `${name}.log`);
  const command = [...program, WEFT, 'up', file];
  const node = background(netns === undefined ? command : inside({ netns }, ...command), log);
  undo.add(() => {
    wake(node.pid);
    return node.end();
  });
  await waitReady(log, () => node.hasEnded, signal);
  const client = createClient(socket);
  return { pid: node.pid, status: () => client.get<StatusDocument>('/v1/status') };
}
