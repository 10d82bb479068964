import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { LoopscopeError } from '../errors.ts';
import { loadRegistry, type Registry } from './load.ts';

const POLL_MS = 1_000;

export interface RegistryWatch {
  /** The newest valid registry. */
  current(): Registry;
  close(): void;
}

/**
 * Keeps the registry as the files have it. A change that does not validate is logged and leaves the registry as
 * it was. Polls, because notifications of the file system are lost on network mounts and in containers.
 * Throws `config_invalid` when the files are invalid at the start.
 */
export function watchRegistry(
  directory: string,
  { log, onChange }: { log: Logger; onChange: (registry: Registry) => Promise<void> },
): RegistryWatch {
  let registry = loadRegistry(directory);
  let seen = fingerprint(directory);
  const timer = setInterval(() => {
    const now = fingerprint(directory);
    if (now === seen) return;
    seen = now;
    try {
      registry = loadRegistry(directory);
      log.info({ loops: registry.loops.size }, 'registry reloaded');
    } catch (error) {
      if (!(error instanceof LoopscopeError)) throw error;
      log.warn({ reason: error.message }, 'registry not reloaded: the change is not valid; kept as it was');
      return;
    }
    onChange(registry).catch((error: Error) =>
      log.warn({ reason: error.message }, 'registry reloaded, but its versions could not be stored'),
    );
  }, POLL_MS);
  timer.unref();
  return { current: () => registry, close: () => clearInterval(timer) };
}

function fingerprint(directory: string): string {
  const folder = join(directory, 'loops');
  let files: string[];
  try {
    files = readdirSync(folder).sort();
  } catch {
    return '';
  }
  return files
    .map((file) => {
      const stat = statSync(join(folder, file), { throwIfNoEntry: false });
      return `${file} ${stat?.mtimeMs} ${stat?.size} ${stat?.ino}`;
    })
    .join('\n');
}
