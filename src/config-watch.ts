import { statSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import type { Logger } from 'pino';
import { type Config, loadConfig } from './config.ts';
import { LoopscopeError } from './errors.ts';

const POLL_MS = 1_000;

/**
 * Tells of new settings when the file changes and is valid; else they stay as they were, and the log says why. Polls,
 * because notifications of the file system are lost on network mounts and in containers.
 */
export function watchConfig(
  path: string,
  { log, onChange }: { log: Logger; onChange: (config: Config) => void },
): { close(): void } {
  let seen = fingerprint(path);
  let last = seen;
  const timer = setInterval(() => {
    const now = fingerprint(path);
    const isStill = now === last;
    last = now;
    // While it is being written it may read as valid, and be half of what was meant.
    if (now === seen || !isStill) return;
    seen = now;
    try {
      onChange(loadConfig(path));
      log.info({ path }, 'settings reloaded');
    } catch (error) {
      if (!(error instanceof LoopscopeError)) throw error;
      log.warn(
        { reason: error.message },
        'settings not reloaded: the change is not valid; kept as they were',
      );
    }
  }, POLL_MS);
  timer.unref();
  return { close: () => clearInterval(timer) };
}

/** The fields that a running gateway takes over, whole or as far as they are named. */
const WHOLE = ['providers', 'models', 'routing', 'prices', 'limits', 'registry', 'keyOf'] as const;
const OF_GATEWAY = ['nested_agents', 'access_log'] as const;

/** `running` with what can change while it runs as it is in `next`. */
export function takeOver(running: Config, next: Config): Config {
  return {
    ...running,
    ...pick(next, WHOLE),
    gateway: { ...running.gateway, ...pick(next.gateway, OF_GATEWAY) },
  };
}

/** The fields in which `next` differs from what is in force, as `gateway.port`. */
export function changedFields(inForce: Config, next: Config): string[] {
  return Object.keys(next).flatMap((field) => {
    const [ours, theirs] = [inForce, next].map((config) => config[field as keyof Config] as unknown);
    if (typeof ours === 'function' || isDeepStrictEqual(ours, theirs)) return [];
    if (!isObject(ours) || !isObject(theirs)) return [field];
    return [...new Set([...Object.keys(ours), ...Object.keys(theirs)])]
      .filter((part) => !isDeepStrictEqual(ours[part], theirs[part]))
      .map((part) => `${field}.${part}`);
  });
}

function pick<T, K extends keyof T>(from: T, keys: readonly K[]): Pick<T, K> {
  return Object.fromEntries(keys.map((key) => [key, from[key]])) as Pick<T, K>;
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function fingerprint(path: string): string {
  const stat = statSync(path, { throwIfNoEntry: false });
  return `${stat?.mtimeMs} ${stat?.size} ${stat?.ino}`;
}
