import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Logger, pino } from 'pino';
import { systemClock } from '../../src/clock.ts';
import { type Config, loadConfig } from '../../src/config.ts';
import type { Registry } from '../../src/gateway/identity.ts';
import { startGateway } from '../../src/gateway/server.ts';
import type { KeyRing } from '../../src/registry/key.ts';
import type { LoopDefinition } from '../../src/registry/loop.ts';
import { A } from '../../src/span/attributes.ts';
import { startSpanReceiver, type TestSpan } from './span-receiver.ts';
import { until } from './until.ts';

export type { TestSpan } from './span-receiver.ts';

/** A gateway in this process, whose spans a test can look at. */

export interface TestGatewayOptions {
  providerUrl: string;
  loops?: LoopDefinition[];
  keys?: Record<string, { loop: string; agent?: string } | 'revoked'>;
  config?: Partial<Config>;
  /** What the environment holds; without it both providers have a key. */
  env?: Record<string, string>;
  runIdleS?: number;
  log?: Logger;
  /** Its own, which outlives it; without it one that goes away with it. */
  folder?: string;
  /** Asked for every call, as when files change; instead of `loops`. */
  registry?: () => Registry;
}

export const registryOf = (loops: readonly LoopDefinition[]): Registry => ({
  loops: new Map(loops.map((definition) => [definition.loop, { definition }])),
  loop: (name) => loops.find((loop) => loop.loop === name),
});

export async function startTestGateway({
  providerUrl,
  loops = [],
  keys = {},
  config = {},
  env = { OPENAI_API_KEY: 'sk-configured', ANTHROPIC_API_KEY: 'sk-ant-configured' },
  runIdleS = 60,
  log = pino({ level: 'silent' }),
  folder: given,
  registry: currentRegistry,
}: TestGatewayOptions) {
  const receiver = await startSpanReceiver();
  const folder = given ?? mkdtempSync(join(tmpdir(), 'loopscope-gateway-'));
  const clock = systemClock();
  const defaults = loadConfig(undefined, env);
  const { openai, anthropic } = defaults.providers;
  const registry = registryOf(loops);
  const ring: KeyRing = {
    find: async (secret) => {
      const key = keys[secret];
      if (key === undefined) return 'unknown';
      return key === 'revoked' ? key : { keyId: 'key_1', loop: key.loop, agent: key.agent ?? '' };
    },
  };
  const gateway = await startGateway({
    config: {
      ...defaults,
      gateway: { ...defaults.gateway, port: 0, run_idle_s: runIdleS },
      // A failure is seen as it comes; what is tried again is a test's own to say.
      routing: { ...defaults.routing, retries: { max: 0 } },
      collector: { ...defaults.collector, url: receiver.url },
      providers: {
        openai: { ...openai!, base_url: `${providerUrl}/v1` },
        anthropic: { ...anthropic!, base_url: providerUrl },
      },
      ...config,
    },
    registry: currentRegistry ?? (() => registry),
    keys: ring,
    clock,
    log,
    folder,
    drainMs: 500,
  });
  const spans = () => receiver.spans;
  return {
    ...gateway,
    /** Where its spool is. */
    folder,
    close: async () => {
      await gateway.close();
      await receiver.close();
      if (given === undefined) rmSync(folder, { recursive: true, force: true });
    },
    spans,
    /** The spans of a loop, once there are `n` of them. */
    spansOf: (loop: string, n: number, record?: string) =>
      until(`${n} ${record ?? ''} spans of ${loop}`, () => {
        const found = spans().filter(
          (s) => s.attributes[A.loop] === loop && (!record || s.attributes[A.record] === record),
        );
        return found.length >= n && found;
      }),
    /** The one call span of a loop. */
    callOf: async (loop: string): Promise<TestSpan> =>
      until(`the call of ${loop}`, () =>
        spans().find((s) => s.attributes[A.loop] === loop && s.attributes[A.record] === 'call'),
      ),
  };
}

export type TestGateway = Awaited<ReturnType<typeof startTestGateway>>;
