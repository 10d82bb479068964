/**
 * Whether a model that answered is what was asked for: the same name, or a snapshot of the alias. Names of snapshots
 * end in a date or in the number of a release: `gpt-4` → `gpt-4-0613`, `gpt-4o` → `gpt-4o-2024-08-06`,
 * `claude-sonnet-4-0` → `claude-sonnet-4-20250514`, `gemini-2.0-flash` → `gemini-2.0-flash-001`.
 */
export function isSnapshotOf(served: string, requested: string): boolean {
  const name = bare(served);
  const alias = bare(requested).replace(/-latest$/, '');
  if (name === alias || name === bare(requested)) return true;
  return [alias, alias.replace(/-0$/, '')].some(
    (stem) => name.startsWith(stem) && SNAPSHOT.test(name.slice(stem.length)),
  );
}

const SNAPSHOT = /^[-@](\d{4}-\d{2}-\d{2}|\d{8}|\d{6}|\d{3,4})$/;

/** Without what routers put before a model's name: `openai/gpt-4o`, `models/gemini-2.5-pro`. */
const bare = (model: string) => model.slice(model.lastIndexOf('/') + 1).toLowerCase();
