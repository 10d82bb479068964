/**
 * What looks like a secret in a text, and what stands in its place: the same secret is the same placeholder everywhere, so
 * that what was equal stays equal and a redacted run still replays exactly. Placeholders fit where the secret stood: in a
 * JSON text, in an address, in a number of so many digits.
 *
 * Found are keys and tokens by their known forms, what is assigned to a name that says it is secret, passwords in URLs,
 * private keys, mail addresses, card numbers (by their check digit), telephone numbers as they are commonly written, and
 * long strings that look random. **Not** found are names, postal addresses, dates of birth, numbers of passports and
 * accounts, internet addresses, what is in pictures, and secrets that look like words.
 *
 * Every pattern takes time in proportion to the text.
 */
export interface Rule {
  /** Names the placeholder: `[NAME-1]`. */
  name: string;
  pattern: RegExp;
}

interface BuiltIn extends Rule {
  /** Whether a match is one; all are where not given. */
  isOne?: (secret: string) => boolean;
  /** What is put in its place; `[NAME-1]` where not given. */
  placeholder?: (secret: string, number: number) => string;
}

/** Names whose values are secret, whatever these look like. */
export const SECRET_NAMES =
  '(?:password|passwd|pwd|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credentials?)';

const digits = (text: string): string => text.replace(/\D/g, '');

/** Its own punctuation around digits that no real number has: a nine, zeros, and which one it is. */
function sameShape(secret: string, number: number): string {
  const wanted = `9${String(number).padStart(digits(secret).length - 1, '0')}`;
  let at = 0;
  return secret.replace(/\d/g, () => wanted[at++] ?? '');
}

/** The check digit of card numbers (Luhn, ISO/IEC 7812-1). */
function isCard(text: string): boolean {
  const all = digits(text);
  if (all.length < 13 || all.length > 19 || /^9?0+/.test(all)) return false;
  let sum = 0;
  for (let i = 0; i < all.length; i++) {
    const digit = Number(all[all.length - 1 - i]);
    const doubled = i % 2 === 1 ? digit * 2 : digit;
    sum += doubled > 9 ? doubled - 9 : doubled;
  }
  return sum % 10 === 0;
}

/** Bits a character, by how often each is there. */
function entropy(text: string): number {
  const counts = new Map<string, number>();
  for (const c of text) counts.set(c, (counts.get(c) ?? 0) + 1);
  let bits = 0;
  for (const n of counts.values()) bits -= (n / text.length) * Math.log2(n / text.length);
  return bits;
}

/** Random letters of both cases and digits; hashes and UUIDs, which are hexadecimal, are names and not secrets. */
const RANDOM_BITS_MIN = 3.8;
const isRandom = (text: string): boolean =>
  /[a-z]/.test(text) &&
  /[A-Z]/.test(text) &&
  (text.match(/\d/g)?.length ?? 0) >= 3 &&
  entropy(text.slice(0, 256)) >= RANDOM_BITS_MIN &&
  // Paths and long names are words, with a digit or a capital here and there.
  (text.match(/[a-z]{3,}/g)?.join('').length ?? 0) < text.length / 2;

/**
 * Where a word begins: not inside one, but also behind a line break that JSON writes as a backslash and a letter, which
 * would otherwise hide the word or be torn apart.
 */
const START = String.raw`(?:(?<![\w+/=\\-])|(?<=\\[nrtbf]))`;
const pattern = (source: string, flags = 'g'): RegExp => new RegExp(source.replace('START', START), flags);

/** In the order in which they are looked for: what one has replaced the next does not find. */
const BUILT_IN: readonly BuiltIn[] = [
  {
    name: 'PRIVATE-KEY',
    pattern: /-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[^-]{1,20000}-----END [A-Z ]{0,40}PRIVATE KEY-----/g,
  },
  { name: 'TOKEN', pattern: pattern(String.raw`STARTeyJ[\w-]{8,4000}\.[\w-]{8,8000}\.[\w-]{0,2000}`) },
  {
    name: 'KEY',
    pattern: pattern(
      String.raw`START(?:(?:sk|pk|rk|lsk|gh[opsur]|github_pat|glpat|npm|pypi|xox[abeoprs]|hf|shpat|whsec)[-_]|AKIA|ASIA|AIza|ya29\.|SG\.)[\w.-]{14,400}(?![\w-])`,
    ),
    isOne: (secret) => /\d/.test(secret),
  },
  // A name that says what it is, and its value: in JSON, in JSON inside a text, in a query, in a file of settings.
  {
    name: 'SECRET',
    pattern: new RegExp(
      String.raw`(?<=${SECRET_NAMES}\\{0,3}["']?\s{0,4}[:=]\s{0,4}\\{0,3}["']?)[^\s"'\\,;&<>{}[\]()]{4,400}`,
      'gi',
    ),
    isOne: (secret) => !/^(?:null|true|false|undefined|none)$/i.test(secret),
    // A number stays one: it may stand in JSON without quotes.
    placeholder: (secret, number) =>
      /^\d+$/.test(secret) ? sameShape(secret, number) : `[SECRET-${number}]`,
  },
  { name: 'SECRET', pattern: /(?<=\b(?:Bearer|Basic)\s)[\w.~+/=-]{8,4000}/g },
  { name: 'SECRET', pattern: /(?<=:\/\/[^\s/:@"']{1,200}:)[^\s/:@"']{1,200}(?=@)/g },
  {
    name: 'mail',
    pattern: pattern(
      String.raw`(?:(?<![\w.+%\\-])|(?<=\\[nrtbf]))[\w.+%-]{1,64}@(?:[a-z\d](?:[a-z\d-]{0,61}[a-z\d])?\.){1,8}[a-z]{2,24}(?![\w-])`,
      'gi',
    ),
    isOne: (secret) => !secret.endsWith('@redacted.invalid'),
    placeholder: (_secret, number) => `mail-${number}@redacted.invalid`,
  },
  {
    name: 'card',
    pattern: /(?<![\d.-])\d(?:[ -]?\d){12,18}(?![\d-])/g,
    isOne: isCard,
    placeholder: sameShape,
  },
  {
    name: 'phone',
    pattern:
      /(?:(?<![\w+.\\-])|(?<=\\[nrtbf]))(?:\+\d{1,3}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d(?:[ .-]?\d){5,12}|\(\d{3}\) ?\d{3}-\d{4}|\d{3}[-.]\d{3}[-.]\d{4})(?![\w-])/g,
    isOne: (secret) => !/^90+/.test(digits(secret)),
    placeholder: sameShape,
  },
  { name: 'RANDOM', pattern: pattern(String.raw`START[\w+/-]{24,}={0,2}(?![\w+/=-])`), isOne: isRandom },
];

/** Finds secrets, and remembers what it put in their places. */
export class Redactor {
  readonly #rules: readonly BuiltIn[];
  readonly #numbers = new Map<string, number>();
  /** How many secrets of each kind there were, each counted once. */
  readonly counts = new Map<string, number>();

  /** `more` come first. */
  constructor(more: readonly Rule[] = []) {
    this.#rules = [...more, ...BUILT_IN];
  }

  text(text: string): string {
    let redacted = text;
    for (const rule of this.#rules)
      redacted = redacted.replace(rule.pattern, (secret) =>
        rule.isOne?.(secret) === false ? secret : this.#placeholder(rule, secret),
      );
    return redacted;
  }

  #placeholder({ name, placeholder }: BuiltIn, secret: string): string {
    // A number is the same however it is written.
    const key = `${name} ${placeholder === sameShape ? digits(secret) : secret}`;
    let number = this.#numbers.get(key);
    if (number === undefined) {
      number = (this.counts.get(name) ?? 0) + 1;
      this.#numbers.set(key, number);
      this.counts.set(name, number);
    }
    return placeholder ? placeholder(secret, number) : `[${name}-${number}]`;
  }
}
