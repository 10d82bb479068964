import type { Store } from './client.ts';

/** A virtual key as it is kept: the secret only as its SHA-256. */
export interface StoredKey {
  keyId: string;
  /** SHA-256 of the secret, 64 hexadecimal digits. */
  hash: string;
  loop: string;
  /** `''` where the key stands for the whole loop. */
  agent: string;
  revoked: boolean;
  /** Milliseconds since the epoch. */
  createdAt: number;
  revokedAt: number | null;
}

/** Every key that was ever made, oldest first. A key that was revoked once stays revoked. */
export async function readKeys(store: Store): Promise<StoredKey[]> {
  const rows = await store.query<Omit<StoredKey, 'revoked'> & { revoked: number }>(
    `SELECT key_id AS keyId, any(k.hash) AS hash, any(k.loop) AS loop, any(k.agent) AS agent,
       max(k.revoked) AS revoked, toUnixTimestamp64Milli(min(k.at)) AS createdAt,
       toUnixTimestamp64Milli(minOrNullIf(k.at, k.revoked = 1)) AS revokedAt
     FROM ${store.database}.virtual_keys AS k GROUP BY key_id ORDER BY createdAt, keyId`,
  );
  return rows.map((row) => ({ ...row, revoked: row.revoked === 1 }));
}

/** Appends a key's state at `at`. */
export async function insertKeyState(
  store: Store,
  key: Pick<StoredKey, 'keyId' | 'hash' | 'loop' | 'agent' | 'revoked'>,
  at: number,
): Promise<void> {
  const { keyId, hash, loop, agent, revoked } = key;
  await store.insert('virtual_keys', [
    { key_id: keyId, hash, loop, agent, revoked: revoked ? 1 : 0, at: new Date(at).toISOString() },
  ]);
}
