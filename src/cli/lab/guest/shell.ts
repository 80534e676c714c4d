/**
 * Commands in a guest, over the virtio-serial port that its first program reads.
 */
import { randomUUID } from 'node:crypto';
import { connect, type Socket } from 'node:net';

export interface Answer {
  status: number;
  /** All that was printed, on both outputs. */
  stdout: string;
}

export interface GuestShell {
  /** Runs a shell command, one at a time. Also waits for a guest that still boots. */
  exec(command: string, limitMs: number, signal?: AbortSignal): Promise<Answer>;
  /** For what has no answer, such as a reboot. */
  write(text: string): void;
  close(): void;
}

/** The channel at a socket that qemu listens at; null while nobody does. */
export function connectShell(path: string): Promise<GuestShell | null> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => resolve(shellOver(socket))).once('error', () => resolve(null));
  });
}

function shellOver(socket: Socket): GuestShell {
  let heard = '';
  let look = () => {};
  socket.setEncoding('utf8').on('data', (text: string) => {
    heard += text.replaceAll('\r', '');
    look();
  });
  // Its end is told by the process.
  socket.on('error', () => {});

  return {
    exec(command, limitMs, signal) {
      const tag = randomUUID();
      const answer = new RegExp(`(?:^|\n)start ${tag}\n(.*)\nend ${tag} (\\d+)\n`, 's');
      return new Promise((resolve, reject) => {
        const end = (settle: () => void) => {
          clearTimeout(timer);
          signal?.removeEventListener('abort', onAbort);
          socket.removeListener('close', onClose);
          look = () => {};
          settle();
        };
        const fail = (why: string) => end(() => reject(new Error(`${why}: ${command}\nit said: ${heard}`)));
        const onAbort = () => fail('interrupted');
        const onClose = () => fail('the guest ended during');
        const timer = setTimeout(() => fail(`the guest did not answer within ${limitMs / 1000} s`), limitMs);
        if (socket.destroyed) return onClose();
        if (signal?.aborted) return onAbort();
        signal?.addEventListener('abort', onAbort);
        socket.once('close', onClose);
        look = () => {
          const found = answer.exec(heard);
          if (found === null) return;
          heard = heard.slice(found.index + found[0].length);
          end(() => resolve({ status: Number(found[2]), stdout: found[1] }));
        };
        // The newline in front of "end" is the channel's: output need not end with one.
        socket.write(`echo; echo start ${tag}; ( ${command}\n) </dev/null 2>&1; printf '\\nend ${tag} %d\\n' $?\n`);
      });
    },
    write: (text) => socket.write(text),
    close: () => socket.destroy(),
  };
}
