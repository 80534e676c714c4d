/**
 * A service manager as far as sd_notify goes: a Unix datagram socket and what came in. Node has none of these, so Python holds it.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

const PROGRAM = `
import json, socket, sys
path = sys.argv[1]
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind('\\0' + path[1:] if path.startswith('@') else path)
print(json.dumps('bound'), flush=True)
while True:
    print(json.dumps(s.recv(65536).decode()), flush=True)
`;

export interface ServiceManager {
  /** What to put into NOTIFY_SOCKET. */
  socket: string;
  /** Datagrams so far, in order. */
  notices: string[];
  close(): Promise<void>;
}

/** Listens on a path, or in the abstract namespace for `@name`. */
export async function listenAsManager(socket: string): Promise<ServiceManager> {
  const child: ChildProcess = spawn('python3', ['-c', PROGRAM, socket], { stdio: ['ignore', 'pipe', 'inherit'] });
  const notices: string[] = [];
  const lines = createInterface({ input: child.stdout! });
  await once(lines, 'line');
  lines.on('line', (line) => notices.push(JSON.parse(line)));
  return {
    socket,
    notices,
    async close() {
      const ended = once(child, 'exit');
      child.kill();
      await ended;
    },
  };
}
