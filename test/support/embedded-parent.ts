import pino from 'pino';
import { systemClock } from '../../src/clock.ts';
import { startEmbedded } from '../../src/store/embedded.ts';

/**
 * A process that runs the embedded ClickHouse as a command would: `embedded-parent.ts DATA_DIR`. Prints
 * `{url, pid}` when it is up, and stops it at SIGTERM.
 */
const server = await startEmbedded({
  dataDir: process.argv[2]!,
  httpPort: 0,
  nativePort: 0,
  memoryBytesMax: 2_000_000_000,
  clock: systemClock(),
  log: pino({ level: 'silent' }),
});
process.once('SIGTERM', () => server.close());
console.log(JSON.stringify({ url: server.url, pid: server.pid }));
