import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { type Collector, type CollectorOptions, startCollector } from '../../collector/collector.ts';
import { systemClock } from '../../src/clock.ts';
import type { Config } from '../../src/config.ts';

export const SPOOL_SETTINGS = {
  commit_ms: 5,
  durability: 'power_loss',
  bytes_max: 100_000_000,
  age_max_h: 168,
} as const;

type Options = Partial<Omit<CollectorOptions, 'config'>> &
  Pick<CollectorOptions, 'store'> &
  Partial<Pick<Config['collector'], 'port' | 'token' | 'tls'>> & { grpcPort?: number };

/** A collector on ports of its own, over a spool that goes with it unless `folder` says where it is. */
export async function startTestCollector({
  port = 0,
  grpcPort = 0,
  token,
  tls,
  ...options
}: Options): Promise<Collector> {
  const folder = options.folder ?? mkdtempSync(join(tmpdir(), 'loopscope-spool-'));
  const forget = () => {
    if (!options.folder) rmSync(folder, { recursive: true, force: true });
  };
  try {
    const collector = await startCollector({
      config: {
        collector: { host: '127.0.0.1', port, grpc_port: grpcPort, token, tls, spool: SPOOL_SETTINGS },
      },
      clock: systemClock(),
      log: pino({ level: 'silent' }),
      ...options,
      folder,
    });
    return {
      ...collector,
      close: async () => {
        await collector.close();
        forget();
      },
    };
  } catch (error) {
    forget();
    throw error;
  }
}
