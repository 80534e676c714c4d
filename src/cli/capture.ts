import { createWriteStream } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import type { Writable } from 'node:stream';
import type { Command } from 'commander';
import type { NodeClient } from '../control/api/client.js';
import { fail, plural } from './output.js';
import { createBlockReader } from './pcapngBlocks.js';
import { integer } from './port.js';
import { atNode, type NodeOptions, withNode } from './readVerb.js';

interface CaptureVerbOptions extends NodeOptions {
  on: string;
  count?: number;
  snap?: number;
}

export function defineCapture(program: Command): void {
  withNode(
    program
      .command('capture')
      .summary('write the frames of one port to a pcapng file')
      .description('Writes the frames of one port, in and out, to a pcapng file until Ctrl-C.'),
  )
    .argument('<file>', 'file to write, - for standard output')
    .requiredOption('--on <port>', 'port to capture on')
    .option('-c, --count <frames>', 'end after so many frames', integer)
    .option('--snap <bytes>', 'keep so many bytes of each frame (default: all)', integer)
    .addHelpText(
      'after',
      '\nSuperframes are captured as they cross the switch, before the kernel cuts them.\n\nExamples:\n  weft capture --on web web.pcapng\n  weft capture --on web -c 100 - | tshark -r -',
    )
    .action((file: string, options: CaptureVerbOptions) => atNode(options, (client) => capture(client, file, options)));
}

async function capture(client: NodeClient, file: string, options: CaptureVerbOptions): Promise<void> {
  const query = new URLSearchParams({ on: options.on });
  if (options.count !== undefined) query.set('count', String(options.count));
  if (options.snap !== undefined) query.set('snap', String(options.snap));
  const response = await client.stream(`/v1/capture?${query}`);
  const out = file === '-' ? process.stdout : createWriteStream(file);
  endOnSignal(client, response);
  try {
    const totals = await copyBlocks(response, out);
    const where = file === '-' ? '' : ` to ${file}`;
    process.stderr.write(
      `${plural(totals.packets, 'frame')} of port ${options.on} written${where}, ${plural(totals.lost, 'frame')} missed\n`,
    );
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // The reader of a pipe that has seen enough is no failure.
    if (code === 'EPIPE' && file === '-') return;
    const { WeftError } = await import('../packet/error.js');
    fail(
      new WeftError('CAPTURE', `${file} cannot be written: ${(error as Error).message}`, {
        object: file,
        cause: error,
      }),
    );
  } finally {
    response.destroy();
  }
}

/** Ctrl-C asks the node to end the stream, which brings what still waits; a second one, or a node that is gone, ends it here. */
function endOnSignal(client: NodeClient, response: IncomingMessage): void {
  let isAsked = false;
  const onSignal = () => {
    if (isAsked) return void response.destroy();
    isAsked = true;
    client.delete(`/v1/capture/${response.headers['weft-capture']}`).catch(() => response.destroy());
    setTimeout(() => response.destroy(), 2000).unref();
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  response.once('close', () => process.removeListener('SIGINT', onSignal).removeListener('SIGTERM', onSignal));
}

/** Writes whole blocks only, so that the file is good however the stream ends. */
async function copyBlocks(response: IncomingMessage, out: Writable): Promise<{ packets: number; lost: number }> {
  const reader = createBlockReader();
  let failure: Error | null = null;
  out.on('error', (error) => {
    failure = error;
    response.destroy();
  });
  try {
    for await (const chunk of response) {
      const whole = reader.push(chunk as Buffer);
      if (whole.length === 0 || out.write(whole)) continue;
      await new Promise((resolve) => out.once('drain', resolve).once('error', resolve));
      if (failure) break;
    }
  } catch (error) {
    // Aborted: everything up to the last whole block is written.
    if (!response.destroyed && (error as NodeJS.ErrnoException).code !== 'ECONNRESET') throw error;
  }
  if (out !== (process.stdout as Writable) && !failure) await new Promise<void>((resolve) => out.end(resolve));
  if (failure) throw failure;
  return { packets: reader.packets, lost: reader.lost };
}
