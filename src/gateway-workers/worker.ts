import { join } from 'node:path';
import { pino } from 'pino';
import { systemClock } from '../clock.ts';
import { type Config, clusterOf, keysIn } from '../config.ts';
import { LoopscopeError } from '../errors.ts';
import { type Gateway, startGateway } from '../gateway/server.ts';
import { tidyBehindCalls } from '../heap.ts';
import { openKeyRing } from '../registry/keys.ts';
import type { Registry } from '../registry/load.ts';
import { openStore } from '../store/client.ts';
import type { FromWorker, SentConfig, SentLoops, ToWorker } from './messages.ts';

/** One process of the gateway's workers. Node ends it when the primary process is gone. */

// A Ctrl-C in the terminal is for the primary, which asks us to drain.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => {});

tidyBehindCalls();

let registry: Registry;
let gateway: Gateway | undefined;
let settings: Config;
let cleanUp = async () => {};
const scrapes = new Map<number, (text: string) => void>();
let nextScrape = 0;

process.on('message', (message: ToWorker) => {
  if (message.kind === 'start') void start(message);
  else if (message.kind === 'settings') {
    settings = complete(message.config);
    gateway?.reload(settings);
  } else if (message.kind === 'registry') registry = registryOf(message.loops);
  else if (message.kind === 'ask') void answer(message.id, message.what);
  else if (message.kind === 'scraped') {
    scrapes.get(message.id)?.(message.text);
    scrapes.delete(message.id);
  } else void close();
});

async function start({ worker, config, loops }: ToWorker & { kind: 'start' }): Promise<void> {
  const clock = systemClock();
  const log = pino({ level: config.log_level }, pino.destination(2)).child({ role: 'gateway', worker });
  registry = registryOf(loops);
  const first = complete(config);
  settings = first;
  const store = openStore({ url: config.clickhouse.url!, cluster: clusterOf(config) });
  const keys = openKeyRing(store, clock, log);
  cleanUp = async () => {
    keys.close();
    await store.close();
  };
  const folder = join(config.data_dir, 'gateway');
  try {
    gateway = await startGateway({
      config: first,
      registry: () => registry,
      keys,
      clock,
      log,
      folder,
      spoolFolder: join(folder, `worker-${worker}`, 'spool'),
      // Elsewhere they share one socket, of which one of them may take most connections that come at once.
      reusePort: process.platform === 'linux',
      metrics: scrape,
    });
  } catch (error) {
    if (!(error instanceof LoopscopeError)) throw error;
    send({ kind: 'refused', code: error.code, message: error.message }, () => process.exit(1));
    return;
  }
  if (settings !== first) gateway.reload(settings); // they changed meanwhile
  send({ kind: 'listening', url: gateway.url });
}

async function close(): Promise<void> {
  await gateway?.close();
  await cleanUp();
  process.exit(0);
}

async function answer(id: number, what: 'flush' | 'metrics'): Promise<void> {
  if (what === 'flush') await gateway?.flush();
  send({ kind: 'answer', id, text: what === 'metrics' ? (gateway?.metrics() ?? '') : '' });
}

/** The metrics of all workers: whoever scrapes reaches one of them. */
function scrape(): Promise<string> {
  const id = nextScrape++;
  return new Promise((resolve) => {
    scrapes.set(id, resolve);
    send({ kind: 'scrape', id });
  });
}

function send(message: FromWorker, sent: () => void = () => {}): void {
  process.send!(message, sent);
}

function complete(config: SentConfig): Config {
  return { ...config, keyOf: keysIn() };
}

function registryOf(loops: SentLoops): Registry {
  return { loops, loop: (name) => loops.get(name)?.definition };
}
