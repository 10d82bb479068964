import pino from 'pino';
import { startEvals } from '../../evals/evals.ts';
import { systemClock } from '../../src/clock.ts';
import { loadConfig } from '../../src/config.ts';
import { openStore } from '../../src/store/client.ts';

/** The evals role in a process of its own, to be killed. Arguments: the settings' file and ClickHouse's URL. */
const [settings, url] = process.argv.slice(2);
await startEvals({
  config: loadConfig(settings, { HOOK: 'hook-secret' }),
  store: openStore({ url: url! }),
  clock: systemClock(),
  log: pino({ level: 'silent' }, pino.destination(2)),
});
