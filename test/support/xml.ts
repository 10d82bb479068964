/**
 * A strict reader of the XML that we write: elements, attributes, text, the five entities and character references. Throws
 * at anything that is not well-formed XML 1.0, and at what the reader does not know (comments, CDATA, DOCTYPE).
 */
export interface XmlElement {
  name: string;
  attributes: Record<string, string>;
  children: XmlElement[];
  text: string;
}

const CHARACTER = /^[\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]*$/u;
const ENTITIES: Record<string, string> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" };

export function parseXml(xml: string): XmlElement {
  if (!CHARACTER.test(xml)) throw new Error('a character that XML has no place for');
  let rest = xml;
  const take = (pattern: RegExp, what: string): RegExpExecArray => {
    const match = pattern.exec(rest);
    if (match?.index !== 0) throw new Error(`expected ${what} at: ${rest.slice(0, 80)}`);
    rest = rest.slice(match[0].length);
    return match;
  };
  const element = (): XmlElement => {
    const name = take(/^<([a-z-]+)/, 'an element')[1]!;
    const attributes: Record<string, string> = {};
    while (/^\s/.test(rest)) {
      const [, key, value] = take(/^\s+([a-z]+)="([^"<]*)"/, 'an attribute');
      if (Object.hasOwn(attributes, key!)) throw new Error(`${key} stands twice`);
      attributes[key!] = decode(value!.replace(/[\t\n\r]/g, ' '));
    }
    const made: XmlElement = { name, attributes, children: [], text: '' };
    if (take(/^\/?>/, 'the end of a tag')[0] === '/>') return made;
    for (;;) {
      made.text += decode(take(/^[^<]*/, 'text')[0]);
      if (rest.startsWith('</')) break;
      made.children.push(element());
    }
    if (take(/^<\/([a-z-]+)>/, 'an end tag')[1] !== name)
      throw new Error(`${name} is closed by another's end`);
    return made;
  };
  take(/^<\?xml version="1.0" encoding="UTF-8"\?>\n/, 'the declaration');
  const root = element();
  take(/^\s*$/, 'the end of the document');
  return root;
}

function decode(text: string): string {
  if (text.includes(']]>')) throw new Error(']]> stands in text');
  return text.replace(/&([^;]*;?)/g, (_, reference: string) => {
    const [, code] = /^#(\d+);$/.exec(reference) ?? [];
    const character =
      code === undefined ? ENTITIES[reference.slice(0, -1)] : String.fromCodePoint(Number(code));
    if (!reference.endsWith(';') || character === undefined || !CHARACTER.test(character))
      throw new Error(`&${reference} is no reference`);
    return character;
  });
}
