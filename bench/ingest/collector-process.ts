import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { startCollector } from '../../collector/collector.ts';
import { systemClock } from '../../src/clock.ts';
import { loadConfig } from '../../src/config.ts';
import { letHeapGrow } from '../../src/heap.ts';
import { openStore } from '../../src/store/client.ts';
import { serve, settings } from '../harness/child-side.ts';

/** The collector as `loopscope collector` runs it, over a ClickHouse that is there. */
letHeapGrow();
const { clickhouseUrl, spoolBytesMax } = settings<{ clickhouseUrl: string; spoolBytesMax?: number }>();
const store = openStore({ url: clickhouseUrl });
const folder = await mkdtemp(join(tmpdir(), 'loopscope-bench-spool-'));
const { spool } = loadConfig(undefined, {}).collector;
const collector = await startCollector({
  config: {
    collector: {
      host: '127.0.0.1',
      port: 0,
      grpc_port: 0,
      spool: { ...spool, bytes_max: spoolBytesMax ?? spool.bytes_max },
    },
  },
  folder,
  store,
  clock: systemClock(),
  log: pino({ level: 'error' }, pino.destination(2)),
});

async function close(): Promise<void> {
  await collector.close();
  await store.close();
  await rm(folder, { recursive: true, force: true });
}

/** Answers what its memory is made of, or, asked anything else, that all it acknowledged is in ClickHouse. */
async function answer({ what }: { what?: 'memory' }): Promise<object> {
  if (what === 'memory') return process.memoryUsage();
  await collector.flush();
  return {};
}

serve({ url: collector.url }, answer, close);
