import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { systemClock } from '../../src/clock.ts';
import { loadConfig } from '../../src/config.ts';
import { startGateway } from '../../src/gateway/server.ts';
import { tidyBehindCalls } from '../../src/heap.ts';
import { KEY_PREFIX } from '../../src/registry/key.ts';
import { openKeyRing, secretHash } from '../../src/registry/keys.ts';
import type { Store } from '../../src/store/client.ts';
import type { StoredKey } from '../../src/store/keys.ts';
import { serve, settings } from '../harness/child-side.ts';

/**
 * The gateway as `loopscope gateway` runs it, with the key ring and the exporter that it has there. Only the table
 * of keys is a constant, so that no ClickHouse has to share the two cores.
 */
tidyBehindCalls();
const { providerUrl, collectorUrl } = settings<{ providerUrl: string; collectorUrl: string }>();
const secret = `${KEY_PREFIX}${'b'.repeat(43)}`;
const key: Omit<StoredKey, 'revoked'> & { revoked: number } = {
  keyId: 'key_bench',
  hash: secretHash(secret),
  loop: 'bench',
  agent: '',
  revoked: 0,
  createdAt: 0,
  revokedAt: null,
};
const store: Store = {
  url: 'none',
  database: 'none',
  localDatabase: 'none',
  cluster: undefined,
  query: async <Row>() => [key] as Row[],
  stream: async function* () {},
  blocks: async function* () {},
  command: async () => {},
  insert: async () => {},
  insertRaw: async () => {},
  ping: async () => true,
  close: async () => {},
};
const clock = systemClock();
const keys = openKeyRing(store, clock);
const defaults = loadConfig(undefined, { OPENAI_API_KEY: 'sk-bench', ANTHROPIC_API_KEY: 'sk-ant-bench' });
const registry = { loops: new Map(), loop: () => undefined };
const folder = await mkdtemp(join(tmpdir(), 'loopscope-bench-gateway-'));
const gateway = await startGateway({
  config: {
    ...defaults,
    gateway: { ...defaults.gateway, host: '127.0.0.1', port: 0 },
    collector: { ...defaults.collector, url: collectorUrl },
    providers: {
      openai: { ...defaults.providers['openai']!, base_url: `${providerUrl}/v1` },
      anthropic: { ...defaults.providers['anthropic']!, base_url: providerUrl },
    },
    otel_export: 'off',
    // Checked for every call, and never reached.
    limits: [
      { scope: 'loop', window: 'day', max: { cost_usd: 1_000_000 }, mode: 'enforce', wait_s: 0 },
      { scope: 'model', window: 'minute', max: { calls: 1_000_000_000 }, mode: 'enforce', wait_s: 0 },
    ],
  },
  registry: () => registry,
  keys,
  clock,
  folder,
  log: pino({ level: 'error' }, pino.destination(2)),
});

/** What became of its spans: a gateway that sheds its work would look fast. */
async function spans(): Promise<{ exported: number; dropped: number }> {
  const text = await (await fetch(`${gateway.url}/metrics`)).text();
  const total = (name: string) =>
    text
      .matchAll(new RegExp(`^${name}\\S* (\\d+)$`, 'gm'))
      .reduce((sum, [, count]) => sum + Number(count), 0);
  return {
    exported: total('loopscope_gateway_spans_delivered_total'),
    dropped: total('loopscope_gateway_spans_lost_total'),
  };
}

async function close(): Promise<void> {
  await gateway.close();
  keys.close();
  await rm(folder, { recursive: true, force: true });
}

serve({ url: gateway.url, secret }, spans, close);
