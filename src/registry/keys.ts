import { hash } from 'node:crypto';
import type { Logger } from 'pino';
import type { Clock } from '../clock.ts';
import { LoopscopeError } from '../errors.ts';
import type { Store } from '../store/client.ts';
import { insertKeyState, readKeys, type StoredKey } from '../store/keys.ts';
import { KEY_PREFIX, type KeyFound, type KeyIdentity, type KeyRing } from './key.ts';

const SECRET_BYTES = 32;

export interface NewKey {
  keyId: string;
  /** Shown once: only its hash is kept. */
  secret: string;
}

/** The hash by which a secret is kept and found: SHA-256, hexadecimal. */
export const secretHash = (secret: string): string => hash('sha256', secret);

/** Makes a key that speaks for a loop, or for one of its agents. */
export async function createKey(
  store: Store,
  clock: Clock,
  { loop, agent = '' }: { loop: string; agent?: string },
): Promise<NewKey> {
  const keyId = `key_${clock.randomHex(8)}`;
  const secret = KEY_PREFIX + Buffer.from(clock.randomHex(SECRET_BYTES), 'hex').toString('base64url');
  const key = { keyId, hash: secretHash(secret), loop, agent, revoked: false };
  await insertKeyState(store, key, clock.now());
  return { keyId, secret };
}

/**
 * Ends a key for good; gateways follow within two seconds. Revoking it again changes nothing.
 * Throws `not_found`.
 */
export async function revokeKey(store: Store, clock: Clock, keyId: string): Promise<StoredKey> {
  const key = (await readKeys(store)).find((k) => k.keyId === keyId);
  if (!key)
    throw new LoopscopeError(
      'not_found',
      `There is no key "${keyId}". \`loopscope keys list\` shows the ids (key_…); the secret itself (${KEY_PREFIX}…) is not kept.`,
    );
  if (key.revoked) return key;
  await insertKeyState(store, { ...key, revoked: true }, clock.now());
  return { ...key, revoked: true, revokedAt: clock.now() };
}

/** Every key, oldest first, revoked ones too. */
export const listKeys = (store: Store): Promise<StoredKey[]> => readKeys(store);

/**
 * The keys as a gateway sees them: a snapshot in memory, so that a call costs no query and a ClickHouse that
 * is away stops nobody.
 *
 * - The snapshot is read anew every `REFRESH_MS`: that is how long a revoked key still works.
 * - A secret that the snapshot does not know makes it read anew at once, so that a fresh key works right away;
 *   such reads are shared and at least `UNKNOWN_REFRESH_MS` apart, so that strangers cannot make us hammer the store.
 * - A failed read leaves the last snapshot in force.
 */
export interface OpenKeyRing extends KeyRing {
  close(): void;
}

const REFRESH_MS = 2_000;
const UNKNOWN_REFRESH_MS = 250;
/** Secrets in memory beside their hashes, until the next snapshot. */
const FOUND_MAX = 10_000;
/** Longest that a caller with an unknown secret waits for a fresh snapshot. */
const UNKNOWN_WAIT_MS = 2_000;

export function openKeyRing(store: Store, clock: Clock, log?: Logger): OpenKeyRing {
  const closing = new AbortController();
  let snapshot: ReadonlyMap<string, StoredKey> | undefined;
  /** Of the snapshot, by the secret itself: to hash one costs a call more than all else about its key. */
  const found = new Map<string, KeyIdentity>();
  let lastError: unknown;
  let startedAt = Number.NEGATIVE_INFINITY;
  /** The read that has not begun yet: whoever joins it sees keys made before now. */
  let waiting: Promise<void> | undefined;
  let reading: Promise<void> | undefined;

  const read = async () => {
    startedAt = clock.now();
    try {
      const keys = await readKeys(store);
      snapshot = new Map(keys.map((key) => [key.hash, key]));
      found.clear();
      if (lastError) log?.info('virtual keys: read again');
      lastError = undefined;
    } catch (error) {
      if (!lastError)
        log?.warn({ err: error }, 'virtual keys: cannot be read; the last known ones stay in force');
      lastError = error;
    }
  };
  const refresh = (): Promise<void> => {
    waiting ??= (async () => {
      await reading;
      const wait = startedAt + UNKNOWN_REFRESH_MS - clock.now();
      if (wait > 0) await clock.sleep(wait, closing.signal);
      waiting = undefined;
      reading = read();
      await reading;
    })();
    return waiting;
  };
  const background = (async () => {
    while (!closing.signal.aborted) {
      await refresh();
      await clock.sleep(REFRESH_MS, closing.signal);
    }
  })();
  background.catch(() => {}); // ends by the abort of `close`

  const findFresh = async (secretsHash: string): Promise<KeyFound> => {
    const deadline = new AbortController();
    await Promise.race([
      refresh().catch(() => {}),
      clock.sleep(UNKNOWN_WAIT_MS, deadline.signal).catch(() => {}),
    ]);
    deadline.abort();
    if (!snapshot)
      throw new LoopscopeError(
        'store_unavailable',
        'Virtual keys cannot be checked yet: ClickHouse has not answered since this gateway started. Try again, or look at `loopscope doctor`.',
        { cause: lastError },
      );
    const key = snapshot.get(secretsHash);
    return key ? identityOf(key) : 'unknown';
  };

  return {
    find: (secret) => {
      const known = found.get(secret);
      if (known) return known;
      const secretsHash = secretHash(secret);
      const key = snapshot?.get(secretsHash);
      if (!key) return findFresh(secretsHash);
      const identity = identityOf(key);
      if (identity !== 'revoked' && found.size < FOUND_MAX) found.set(secret, identity);
      return identity;
    },
    close: () => closing.abort(),
  };
}

const identityOf = ({ keyId, loop, agent, revoked }: StoredKey): KeyIdentity | 'revoked' =>
  revoked ? 'revoked' : { keyId, loop, agent };
