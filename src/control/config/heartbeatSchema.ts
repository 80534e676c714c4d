/**
 * The part of the configuration that is about heartbeats between weft nodes.
 */
import { createHmac, randomBytes } from 'node:crypto';
import { z } from 'zod';
import { text } from './values.js';

const KEY_MAX = 256;

export const HeartbeatSchema = z.strictObject({
  intervalMs: z.int().min(100).max(600_000).default(1000).describe('Milliseconds between heartbeats, 100 to 600000'),
  timeoutMs: z
    .int()
    .min(200)
    .max(3_600_000)
    .default(5000)
    .describe('Milliseconds without an answer after which a peer is down, 200 to 3600000'),
  key: text((key) =>
    key.length >= 1 && key.length <= KEY_MAX
      ? null
      : {
          message: `a key of ${key.length} characters`,
          remedy: `give 1 to ${KEY_MAX}, such as the output of \`openssl rand -hex 16\``,
        },
  )
    .optional()
    .describe(
      `Secret of the network, the same at all of its nodes, up to ${KEY_MAX} characters; without it anybody who can send to the node can write heartbeats`,
    ),
});

export type HeartbeatConfig = z.output<typeof HeartbeatSchema>;

/** Of this process: what stands in place of a key says nothing about it. */
const SALT = randomBytes(16);

/** The settings to be shown: in place of a key there is a word that is another one for another key. */
export function withoutSecret(heartbeat: HeartbeatConfig): HeartbeatConfig {
  if (heartbeat.key === undefined) return heartbeat;
  const mark = createHmac('sha256', SALT).update(heartbeat.key).digest('hex').slice(0, 6);
  return { ...heartbeat, key: `(secret ${mark})` };
}

/** What networks have beside `heartbeat`. */
export const probeMtu = z
  .boolean()
  .optional()
  .describe(
    'Padded heartbeats look for a path that loses large packets in silence, and lower the MTU of its peer; default: true with `heartbeat`',
  );

/** What peers have. */
export const roams = z
  .boolean()
  .optional()
  .describe(
    'The peer is followed to another address or port (NAT) when heartbeats prove that it is there; needs `heartbeat` with `key`',
  );
