import { readFileSync } from 'node:fs';
import { collectorAuthorities, fetchTrusting } from '../../src/collector-trust.ts';
import { loadConfig } from '../../src/config.ts';

/**
 * Whether the role that runs in this container lives: `healthcheck.ts [PID]`, exit code 0 or 1. Which role that is, and
 * with which settings, it reads off the container's first process (PID 1), so that one image serves for all. It asks
 * /healthz: a role that cannot work just now, with ClickHouse away, is not helped by being started again.
 */
const [pid = '1'] = process.argv.slice(2);
const TIMEOUT_MS = 4_000;

const argv = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
const role = argv.find((word) => word === 'gateway' || word === 'collector' || word === 'evals');
if (role === undefined) {
  console.log('no role runs here: nothing to ask');
  process.exit(0);
}
const named = argv.indexOf('--config');
const config = loadConfig(named === -1 ? undefined : argv[named + 1]);
const { tls } = config.collector;
const url = `${role === 'collector' && tls ? 'https' : 'http'}://127.0.0.1:${config[role].port}/healthz`;
const ask = role === 'collector' ? fetchTrusting(collectorAuthorities(config.collector)) : fetch;
try {
  const { status } = await ask(url, { signal: AbortSignal.timeout(TIMEOUT_MS) });
  console.log(`${url} answers ${status}`);
  process.exit(status === 200 ? 0 : 1);
} catch (error) {
  console.log(`${url} does not answer: ${(error as Error).message}`);
  process.exit(1);
}
