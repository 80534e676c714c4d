#!/usr/bin/env node
import { EXIT_OK } from './output.js';
import { run } from './program.js';

// The reader of a pipe that closes early (`weft stats | head`) is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(process.exitCode ?? EXIT_OK);
});

await run(process.argv);
