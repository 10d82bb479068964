import pino from 'pino';
import { createDetection } from '../../evals/detection.ts';
import { createMetrics } from '../../evals/metrics.ts';
import { systemClock } from '../../src/clock.ts';
import { loadConfig } from '../../src/config.ts';
import { openStore } from '../../src/store/client.ts';

/** Looks again and again, to be killed. Argument: settings with ClickHouse's URL. Says a line before the first look. */
const { url } = JSON.parse(process.argv[2]!) as { url: string };
const detection = createDetection({
  store: openStore({ url }),
  clock: systemClock(),
  config: { evals: loadConfig(undefined, {}).evals },
  metrics: createMetrics(),
  log: pino({ level: 'silent' }),
});
process.stdout.write('loaded\n');
process.stdin.once('data', async () => {
  process.stdout.write('looking\n');
  for (;;) await detection.look([]);
});
