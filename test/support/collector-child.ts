import { once } from 'node:events';
import { writeSync } from 'node:fs';
import { flushCompileCache } from 'node:module';
import pino from 'pino';
import { startCollector } from '../../collector/collector.ts';
import { systemClock } from '../../src/clock.ts';
import { nodeFiles } from '../../src/spool/files.ts';
import { openStore } from '../../src/store/client.ts';
import { SPOOL_SETTINGS } from './collector.ts';
import { type End, endingAt } from './steps.ts';

export interface ChildSettings {
  clickhouseUrl: string;
  /** Where the spool is. */
  folder: string;
  port: number;
  /** Bound of the spool; a segment is an eighth of it. */
  bytesMax?: number;
  /** The operation on disk at which it ends itself. */
  end?: End;
}

/** A collector in a process of its own, to be killed: `collector-child.ts SETTINGS`. It begins when it is told to. */
const { clickhouseUrl, folder, port, bytesMax, end } = JSON.parse(process.argv[2]!) as ChildSettings;
flushCompileCache(); // a process that is killed would not leave it to the next
process.stdout.write('loaded\n');
process.stdin.once('end', () => process.exit(0)); // whoever started it is gone
await once(process.stdin, 'data');
const collector = await startCollector({
  config: {
    collector: {
      host: '127.0.0.1',
      port,
      grpc_port: 0,
      spool: { ...SPOOL_SETTINGS, bytes_max: bytesMax ?? SPOOL_SETTINGS.bytes_max },
    },
  },
  folder,
  store: openStore({ url: clickhouseUrl }),
  clock: systemClock(),
  log: pino({ level: 'silent' }),
  files:
    end &&
    endingAt(nodeFiles, end, (operation) => {
      writeSync(1, `ended at ${operation}\n`);
      process.kill(process.pid, 'SIGKILL');
    }),
});
process.stdout.write(`${collector.url}\n`);
