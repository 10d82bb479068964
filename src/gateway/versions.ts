import { contentHash } from '../records/normalize.ts';

/** An agent says the same system prompt with every call, and is offered the same tools. */
interface Version {
  text: string;
  version: string;
  /** The hash of it all, as the list that a span has in its place. */
  list: string;
}

/** Characters of the hash that stand for it. */
const VERSION_CHARS = 12;
const versions = new Map<string, Version>();
let last: Version | undefined;
const VERSIONS_MAX = 256;
const VERSION_TEXT_LENGTH_MAX = 256 * 1024;

export const versionOf = (text: string | undefined): string | undefined =>
  text ? versionFor(text).version : undefined;

export function versionFor(text: string): Version {
  // To find it among the others its hash is needed, which costs ten times as much as to compare.
  if (last?.text === text) return last;
  const known = versions.get(text);
  if (known !== undefined) {
    last = known;
    return known;
  }
  const hash = contentHash(text);
  const made = { text, version: hash.slice(0, VERSION_CHARS), list: JSON.stringify([hash]) };
  if (text.length <= VERSION_TEXT_LENGTH_MAX) {
    if (versions.size >= VERSIONS_MAX) versions.delete(versions.keys().next().value!);
    versions.set(text, made);
  }
  return made;
}
