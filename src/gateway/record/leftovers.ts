import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Clock } from '../../clock.ts';
import type { Config } from '../../config.ts';
import { LoopscopeError } from '../../errors.ts';
import { collectorAddress } from './deliver.ts';
import { resourceAttributes } from './elsewhere.ts';
import { openRecorder, type Recorder } from './recorder.ts';

/**
 * Spools in the gateway's folder that nobody has since `gateway.workers` is another number: `spool` of the gateway that was
 * one process, `worker-<n>/spool` of one of several. What is in them is delivered beside the gateway's own.
 */
export interface LeftoverOptions {
  /** `<data_dir>/gateway`. */
  folder: string;
  /** Complete: with the collector's address. */
  config: Config;
  clock: Clock;
  log: Logger;
}

const LAST_SPANS_MS = 5_000;

/** Begins to deliver them; `close` ends it, and what remains stays for the next time. */
export async function deliverLeftovers(options: LeftoverOptions): Promise<{ close(): Promise<void> }> {
  const { folder, config, clock, log } = options;
  const open: Recorder[] = [];
  for (const left of leftIn(folder, config.gateway.workers)) {
    try {
      const recorder = await openRecorder({
        folder: left,
        collector: collectorAddress(config.collector),
        spool: config.gateway.spool,
        resource: resourceAttributes(),
        clock,
        log,
      });
      open.push(recorder);
      const { records } = recorder.figures().spool;
      if (records > 0)
        log.info({ folder: left, records }, 'delivers the spans that another number of workers left');
    } catch (error) {
      if (!(error instanceof LoopscopeError)) throw error;
      log.warn({ reason: error.message }, 'spans that another number of workers left stay where they are');
    }
  }
  return {
    close: async () => {
      await Promise.all(open.map((recorder) => recorder.close(LAST_SPANS_MS)));
    },
  };
}

function leftIn(folder: string, workers: number): string[] {
  if (!existsSync(folder)) return [];
  const isUsed = (worker: number) => workers > 1 && worker <= workers;
  const left = readdirSync(folder).flatMap((name) => {
    if (name === 'spool') return workers > 1 ? [name] : [];
    const worker = /^worker-(\d+)$/.exec(name)?.[1];
    return worker === undefined || isUsed(Number(worker)) ? [] : [join(name, 'spool')];
  });
  return left.map((path) => join(folder, path)).filter((path) => existsSync(path));
}
