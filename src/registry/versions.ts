import type { Clock } from '../clock.ts';
import { contentHash } from '../records/normalize.ts';
import type { Store } from '../store/client.ts';
import { currentVersions, insertVersions } from '../store/registry.ts';
import type { Registry } from './load.ts';
import type { LoopDefinition } from './loop.ts';

const VERSION_LENGTH = 12;

/** Version of a definition: it changes when the content does, and only then. 12 hexadecimal digits. */
export const versionOf = (definition: LoopDefinition): string =>
  contentHash(JSON.stringify(definition)).slice(0, VERSION_LENGTH);

/**
 * Stores a version of every loop whose content differs from the newest one stored, and returns those loops'
 * names. Two processes that start together may both store one: the history then shows it twice, in force is the same.
 */
export async function recordVersions(store: Store, registry: Registry, clock: Clock): Promise<string[]> {
  const stored = await currentVersions(store);
  const changed = [...registry.loops.values()]
    .map(({ definition }) => ({
      loop: definition.loop,
      version: versionOf(definition),
      content: JSON.stringify(definition),
      seenAt: clock.now(),
    }))
    .filter(({ loop, version }) => stored.get(loop) !== version);
  await insertVersions(store, changed);
  return changed.map(({ loop }) => loop);
}
