// Hostile traffic: pools of frames that are sent round and round, at a rate.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const FLOOD = fileURLToPath(new URL('flood.py', import.meta.url));

export interface Flood {
  namespace: string;
  device: string;
  /** Frames a second. */
  pps: number;
  frames: readonly Uint8Array[];
}

/** Sends a flood for so many seconds; resolves with the number of frames that went out. */
export function flood({ namespace, device, pps, frames }: Flood, seconds: number): Promise<number> {
  const args = ['netns', 'exec', namespace, 'python3', FLOOD, device, `${seconds}`, `${pps}`];
  const child = spawn('ip', args, { timeout: seconds * 1000 + 20_000, killSignal: 'SIGKILL' });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (said += text));
  child.stdin.end(frames.map((frame) => `${Buffer.from(frame).toString('hex')}\n`).join(''));
  return new Promise((resolve, reject) => {
    child.on('close', (status) => {
      if (status === 0) resolve(Number(said));
      else reject(new Error(`flood.py: ${said}`));
    });
  });
}
