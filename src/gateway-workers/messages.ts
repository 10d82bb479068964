import type { Config } from '../config.ts';
import type { ErrorCode } from '../errors.ts';
import type { RegisteredLoop } from '../registry/load.ts';

/**
 * What the primary process and a worker of the gateway say to each other. A worker reads no files: settings and registry
 * come from the primary, so that one that is replaced while a file is being edited starts with what was valid last, as
 * its brothers have it.
 */

/** Settings as they can be sent: keys beside those of the providers a worker looks up in its own environment. */
export type SentConfig = Omit<Config, 'keyOf'>;
export type SentLoops = ReadonlyMap<string, RegisteredLoop>;

export type ToWorker =
  | { kind: 'start'; worker: number; config: SentConfig; loops: SentLoops }
  | { kind: 'settings'; config: SentConfig }
  | { kind: 'registry'; loops: SentLoops }
  | { kind: 'ask'; id: number; what: Question }
  | { kind: 'scraped'; id: number; text: string }
  | { kind: 'close' };

/** `flush` is answered when the collector has every span, `metrics` with those of the worker alone. */
export type Question = 'flush' | 'metrics';

export type FromWorker =
  | { kind: 'listening'; url: string }
  | { kind: 'refused'; code: ErrorCode; message: string }
  | { kind: 'answer'; id: number; text: string }
  /** Someone wants the metrics of all workers. */
  | { kind: 'scrape'; id: number };

export const sentConfig = (config: Config): SentConfig => ({ ...config, keyOf: undefined }) as SentConfig;
