import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { contentHash } from '../../src/records/normalize.ts';
import type { ScorerDefinition } from '../scorers/definition.ts';

/**
 * A hash of how a suite scores: its scorer's settings, and the files beside the suite that they name. The same hash means
 * the same scorer, but for what those files draw in themselves.
 */
export function hashOfScorer(definition: ScorerDefinition, directory: string): string {
  const files = filesOf(definition).map((file) => contentHash(contentOf(resolve(directory, file))));
  return contentHash([JSON.stringify(definition), ...files].join('\0'));
}

function filesOf(definition: ScorerDefinition): string[] {
  if (typeof definition === 'string') return [];
  if ('module' in definition) return [definition.module];
  if ('command' in definition) return definition.command.run.filter((part) => /^\.\.?\//.test(part));
  return [];
}

/** What is not there will be told by the scorer. */
function contentOf(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}
