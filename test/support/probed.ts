import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { createMetrics } from '../../evals/metrics.ts';
import { createModelWatch } from '../../evals/models/watch.ts';
import { createProbes } from '../../evals/probe/probes.ts';
import { loadSuites } from '../../evals/suite.ts';
import { type Clock, systemClock } from '../../src/clock.ts';
import type { Config } from '../../src/config.ts';
import { startGateway } from '../../src/gateway/server.ts';
import type { KeyRing } from '../../src/registry/key.ts';
import { loadRegistry } from '../../src/registry/load.ts';
import type { Store } from '../../src/store/client.ts';
import { startTestCollector } from './collector.ts';

/** A gateway and a collector over a real store, and probes that go through them, on the settings of a folder. */

const log = pino({ level: 'silent' });

export async function startProbed({
  store,
  config,
  keys = {},
  providerUrl,
}: {
  store: Store;
  config: Config;
  keys?: Record<string, string>;
  providerUrl: string;
}) {
  const clock = systemClock();
  const registry = loadRegistry(config.directory);
  const collector = await startTestCollector({
    store,
    capture: (loop) => registry.loop(loop)?.capture ?? 'full',
    findLoop: (loop) => registry.loop(loop),
  });
  const folder = mkdtempSync(join(tmpdir(), 'loopscope-probed-'));
  const ring: KeyRing = {
    find: async (secret) =>
      keys[secret] === undefined ? 'unknown' : { keyId: 'key_1', loop: keys[secret], agent: '' },
  };
  const { openai, anthropic } = config.providers;
  const gateway = await startGateway({
    config: {
      ...config,
      gateway: { ...config.gateway, port: 0 },
      collector: { ...config.collector, url: collector.url },
      providers: {
        openai: { ...openai!, base_url: `${providerUrl}/v1` },
        anthropic: { ...anthropic!, base_url: providerUrl },
      },
    },
    registry: () => registry,
    keys: ring,
    clock,
    log,
    folder,
    drainMs: 500,
  });
  const metrics = createMetrics();
  const stored = async () => {
    await gateway.flush();
    await collector.flush();
  };
  return {
    gateway,
    metrics,
    stored,
    /** Probes of an evaluator that has just started, at a time of its own, of all suites or of one. */
    probes: ({
      now = clock.now(),
      signal = new AbortController().signal,
      only,
      redisUrl,
    }: {
      now?: number;
      signal?: AbortSignal | undefined;
      only?: string;
      redisUrl?: string;
    } = {}) => {
      const aheadMs = now - clock.now();
      const at: Clock = { ...clock, now: () => clock.now() + aheadMs };
      const suites = loadSuites(config.directory).filter(({ suite }) => only === undefined || suite === only);
      const gatewayUrl = gateway.url;
      return createProbes({
        store,
        clock: at,
        config: { ...config, redis_url: redisUrl },
        gatewayUrl,
        metrics,
        log,
        signal,
        suites: () => suites,
        onAlerts: () => {},
      });
    },
    /** A look at the models in use. */
    lookAtModels: () =>
      createModelWatch({
        store,
        clock,
        config,
        metrics,
        log,
        signal: new AbortController().signal,
        onAlerts: () => {},
      }).look(),
    close: async () => {
      await gateway.close();
      await collector.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** A provider's address behind which another provider can be put at any time. */
export async function startSwitch(url: string) {
  let to = url;
  const server = createServer((incoming: IncomingMessage, response: ServerResponse) => {
    const { method, headers, url: path } = incoming;
    const onward = request(`${to}${path}`, { method, headers }, (answer) => {
      response.writeHead(answer.statusCode!, answer.headers);
      answer.pipe(response);
    });
    onward.on('error', () => response.destroy());
    incoming.pipe(onward);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    turnTo: (next: string) => {
      to = next;
    },
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
