import type { Store } from './client.ts';

/** Versions of what was registered, as they are kept: append-only, the newest row of a loop is in force. */
export interface RegistryVersion {
  loop: string;
  version: string;
  /** The definition as JSON. */
  content: string;
  /** Milliseconds since the epoch. */
  seenAt: number;
}

/** Loop → version in force. */
export async function currentVersions(store: Store): Promise<Map<string, string>> {
  const rows = await store.query<{ loop: string; version: string }>(
    `SELECT loop, argMax(version, seen_at) AS version FROM ${store.database}.registry_versions GROUP BY loop`,
  );
  return new Map(rows.map((row) => [row.loop, row.version]));
}

/** All versions of a loop, newest first. */
export function versionsOf(store: Store, loop: string): Promise<RegistryVersion[]> {
  return store.query<RegistryVersion>(
    `SELECT loop, version, content, toUnixTimestamp64Milli(seen_at) AS seenAt
     FROM ${store.database}.registry_versions WHERE loop = {loop:String} ORDER BY seen_at DESC`,
    { loop },
  );
}

export async function insertVersions(store: Store, versions: readonly RegistryVersion[]): Promise<void> {
  const rows = versions.map(({ seenAt, ...row }) => ({ ...row, seen_at: new Date(seenAt).toISOString() }));
  await store.insert('registry_versions', rows);
}
