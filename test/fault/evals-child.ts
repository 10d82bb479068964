import { once } from 'node:events';
import { flushCompileCache } from 'node:module';
import pino from 'pino';
import { startEvals } from '../../evals/evals.ts';
import { systemClock } from '../../src/clock.ts';
import { loadConfig } from '../../src/config.ts';
import { openStore } from '../../src/store/client.ts';

export interface EvalsChildSettings {
  /** The file. */
  settings: string;
  clickhouseUrl: string;
  /** Without it the jobs are this process's own. */
  redisUrl?: string;
  port: number;
}

/** The evals role in a process of its own, to be killed: `evals-child.ts SETTINGS`. It begins when it is told to. */
const { settings, clickhouseUrl, redisUrl, port } = JSON.parse(process.argv[2]!) as EvalsChildSettings;
if (redisUrl !== undefined) await import('../../evals/queue/bullmq.ts');
flushCompileCache(); // a process that is killed would not leave it to the next
process.stdout.write('loaded\n');
process.stdin.once('end', () => process.exit(0)); // whoever started it is gone
await once(process.stdin, 'data');
const config = loadConfig(settings, { HOOK: 'hook-secret', LOOPSCOPE_REDIS_URL: redisUrl });
const evals = await startEvals({
  config: { ...config, evals: { ...config.evals, port } },
  store: openStore({ url: clickhouseUrl }),
  clock: systemClock(),
  log: pino({ level: 'silent' }),
});
process.stdout.write(`${evals.url}\n`);
