/** What the parts agree on about virtual keys: the secrets by which a loop says who it is. */

/** What a secret begins with, so that it is told from a provider's key. */
export const KEY_PREFIX = 'lsk_';

/** Whose key it is. */
export interface KeyIdentity {
  keyId: string;
  loop: string;
  /** `''` where the key stands for the whole loop. */
  agent: string;
}

export type KeyFound = KeyIdentity | 'unknown' | 'revoked';

export interface KeyRing {
  /** At once for a key that is known. Throws `store_unavailable` only while nothing is known of any key yet. */
  find(secret: string): KeyFound | Promise<KeyFound>;
}
