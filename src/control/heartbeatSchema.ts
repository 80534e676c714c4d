/**
 * The part of the configuration that is about heartbeats between weft nodes.
 */
import { z } from 'zod';

const KEY_MAX = 256;

export const HeartbeatSchema = z.strictObject({
  intervalMs: z.int().min(100).max(600_000).default(1000).describe('Milliseconds between heartbeats, 100 to 600000'),
  timeoutMs: z
    .int()
    .min(200)
    .max(3_600_000)
    .default(5000)
    .describe('Milliseconds without an answer after which a peer is down, 200 to 3600000'),
  key: z
    .string()
    .min(1)
    .max(KEY_MAX)
    .optional()
    .describe(
      `Secret of the network, the same at all of its nodes, up to ${KEY_MAX} characters; without it anybody who can send to the node can write heartbeats`,
    ),
});

export type HeartbeatConfig = z.output<typeof HeartbeatSchema>;

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
