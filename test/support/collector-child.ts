import pino from 'pino';
import { startCollector } from '../../collector/collector.ts';
import { systemClock } from '../../src/clock.ts';
import { openStore } from '../../src/store/client.ts';
import { SPOOL_SETTINGS } from './collector.ts';

/** A collector in a process of its own, to be killed: `collector-child.ts CLICKHOUSE_URL SPOOL_FOLDER PORT`. */
const [clickhouseUrl, folder, port] = process.argv.slice(2) as [string, string, string];
const collector = await startCollector({
  config: { collector: { host: '127.0.0.1', port: Number(port), spool: SPOOL_SETTINGS } },
  folder,
  store: openStore({ url: clickhouseUrl }),
  clock: systemClock(),
  log: pino({ level: 'silent' }),
});
process.stdout.write(`${collector.url}\n`);
