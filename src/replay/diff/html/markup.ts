/**
 * HTML that can hold any text. Whatever is put into an `html` template is text and is escaped, unless it was made by such
 * a template itself: nothing that came from a run can become markup. Characters that are not seen, or that turn the
 * direction of writing, are shown by their number.
 */
export class Markup {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

type Value = Markup | string | number | readonly Markup[];

export function html(strings: TemplateStringsArray, ...values: readonly Value[]): Markup {
  let text = strings[0]!;
  values.forEach((value, i) => {
    text += rendered(value) + strings[i + 1]!;
  });
  return new Markup(text);
}

const rendered = (value: Value): string => {
  if (value instanceof Markup) return value.text;
  if (typeof value === 'object') return value.map(({ text }) => text).join('');
  return escaped(String(value));
};

const ENTITIES: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};
/** Control and format characters but line breaks and tabs, and what looks like a line break to some. */
const UNSEEN = /[&<>"']|(?![\n\t])[\p{Cc}\p{Cf}\u2028\u2029]|\p{Variation_Selector}|[\u{e000}-\u{f8ff}]/gu;

const escaped = (text: string): string =>
  text
    .toWellFormed()
    .replace(
      UNSEEN,
      (character) => ENTITIES[character] ?? `<span class="unseen">${codePoint(character)}</span>`,
    );

const codePoint = (character: string): string =>
  `U+${character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}`;
