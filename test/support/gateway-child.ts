import { once } from 'node:events';
import { flushCompileCache } from 'node:module';
import pino from 'pino';
import { systemClock } from '../../src/clock.ts';
import { type Config, loadConfig } from '../../src/config.ts';
import { startGateway } from '../../src/gateway/server.ts';

export interface GatewayChildSettings {
  providerUrl: string;
  collectorUrl: string;
  /** Where its spool is. */
  folder: string;
  port: number;
  /** What is not as it is by default. */
  config?: Partial<Config>;
}

/** A gateway in a process of its own, to be killed: `gateway-child.ts SETTINGS`. It begins when it is told to. */
const {
  providerUrl,
  collectorUrl,
  folder,
  port,
  config = {},
} = JSON.parse(process.argv[2]!) as GatewayChildSettings;
flushCompileCache(); // a process that is killed would not leave it to the next
process.stdout.write('loaded\n');
process.stdin.once('end', () => process.exit(0)); // whoever started it is gone
await once(process.stdin, 'data');
const defaults = loadConfig(undefined, {});
const { openai, anthropic } = defaults.providers;
const gateway = await startGateway({
  config: {
    ...defaults,
    gateway: { ...defaults.gateway, port },
    collector: { ...defaults.collector, url: collectorUrl },
    providers: {
      openai: { ...openai!, base_url: `${providerUrl}/v1` },
      anthropic: { ...anthropic!, base_url: providerUrl },
    },
    ...config,
  },
  registry: () => ({ loops: new Map(), loop: () => undefined }),
  keys: { find: () => 'unknown' },
  clock: systemClock(),
  log: pino({ level: 'silent' }),
  folder,
});
process.stdout.write(`${gateway.url}\n`);
