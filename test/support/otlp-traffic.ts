import { A } from '../../src/span/attributes.ts';

/**
 * Requests in a row as one collector gets them, from seeds: long runs of spans of few shapes, and among them every
 * oddity that makes a transcoder leave its usual way, at a random place. Written byte by byte, as some of it no
 * encoder would write.
 */
export type Random = () => number;

/** How many names a map has: few, and some at the bound up to which a shape is remembered. */
const SHAPES = [0, 1, 1, 2, 2, 3, 5, 5, 7, 10, 12, 20, 63, 64, 65, 90];
const NAMES = ['http.method', 'http.route', 'a', 'b', 'c', 'net.peer.name', 'é', '', '1', '__proto__'];
const NS_PER_DAY = 86_400_000_000_000n;
const START = 1_700_000_000_000_000_000n;

export class Traffic {
  private readonly random: Random;
  private readonly resources: Buffer[];
  private readonly shapes: string[][];
  private ids = 0;
  /** Names that come once. */
  private fresh = 0;
  private last: Buffer = Buffer.alloc(0);

  constructor(random: Random) {
    this.random = random;
    this.shapes = SHAPES.map((size) =>
      Array.from({ length: size }, (_, i) => NAMES[i] ?? `key.${size}.${i}`),
    );
    this.resources = [0, 1, 5, 70].map((size) =>
      field(1, Buffer.concat(Array.from({ length: size }, (_, i) => field(1, this.keyValue(`res.${i}`))))),
    );
    this.resources.push(field(1, field(1, pair('service.name', field(1, Buffer.from('a service'))))));
  }

  next(): Buffer {
    const choice = this.random();
    if (choice < 0.06) return this.last.subarray(0, this.below(this.last.length + 1));
    if (choice < 0.1) return this.damaged();
    this.last = this.request(choice < 0.7 ? 4 : 20);
    return this.last;
  }

  /** Of so many spans, of which many are odd or few; some have names that never came before. */
  request(spansMax: number, odd = this.random() < 0.3 ? 0.5 : 0.05): Buffer {
    const parts: Buffer[] = [];
    for (let i = 1 + this.below(3); i > 0; i--) {
      const scopes = [1, 2].slice(this.below(2)).map(() => this.scopeSpans(spansMax, odd));
      parts.push(field(1, Buffer.concat([this.pick(this.resources), ...scopes])));
    }
    return Buffer.concat(parts);
  }

  /** So many spans of one kind, each made by `span`. */
  requestOf(count: number, span: (i: number) => Buffer): Buffer {
    const spans = Array.from({ length: count }, (_, i) => field(2, span(i)));
    return field(1, Buffer.concat([this.pick(this.resources), field(2, Buffer.concat(spans))]));
  }

  /** A span of these parts, and what it cannot do without. */
  span(parts: readonly Buffer[], startNs = START + BigInt(this.ids)): Buffer {
    const spanId = Buffer.alloc(8);
    spanId.writeUInt32BE(++this.ids, 4);
    return Buffer.concat([
      field(1, Buffer.alloc(16, 7)),
      field(2, spanId),
      field(5, Buffer.from('work')),
      fixed(7, startNs),
      fixed(8, startNs + 1_000n),
      ...parts,
    ]);
  }

  attribute(key: string): Buffer {
    return field(9, this.keyValue(key));
  }

  freshName(): string {
    return `fresh.${this.fresh++}`;
  }

  private scopeSpans(spansMax: number, odd: number): Buffer {
    const scope = field(1, Buffer.concat([field(1, Buffer.from('scope')), field(2, Buffer.from('1'))]));
    const [shape, eventShape, linkShape] = [1, 2, 3].map(() => this.pick(this.shapes)) as [
      string[],
      string[],
      string[],
    ];
    const parts = [scope];
    for (let i = 1 + this.below(spansMax); i > 0; i--) {
      const list = (number: number, names: readonly string[], tag: number) =>
        field(number, Buffer.concat(this.map(names, odd).map((one) => field(tag, one))));
      const attributes = this.map(shape, odd).map((one) => field(9, one));
      const events = Array.from({ length: this.below(2.4) }, () => list(11, eventShape, 3));
      const links = Array.from({ length: this.below(1.5) }, () => list(13, linkShape, 4));
      parts.push(field(2, this.span(this.oddly([...attributes, ...events, ...links], odd))));
    }
    return field(2, Buffer.concat(parts));
  }

  /** The KeyValues of a map of these names, or of about these. */
  private map(names: readonly string[], odd: number): Buffer[] {
    const keyValues = names.map((name) => this.keyValue(name));
    if (this.random() >= odd) return keyValues;
    const at = this.below(names.length + 1);
    const name = names[at] ?? 'more';
    switch (this.below(9)) {
      case 0:
        return keyValues.slice(0, at);
      case 1:
        return [...keyValues.slice(at), ...keyValues.slice(0, at)];
      case 2:
        return keyValues.toSpliced(at, 0, this.keyValue(this.freshName()));
      case 3:
        return keyValues.toSpliced(at, 1);
      case 4: // named twice
        return keyValues.toSpliced(this.below(names.length + 1), 0, this.keyValue(name));
      case 5:
        return keyValues.toSpliced(
          at,
          1 + this.below(3),
          ...[1, 2, 3].map(() => pair(Buffer.from([0xff]), TEXT)),
        );
      case 6:
        return keyValues.toSpliced(at, 1, pair(name, field(1, Buffer.from([0x80, 0x80]))));
      case 7: // two values
        return keyValues.toSpliced(at, 1, Buffer.concat([pair(name, TEXT), field(2, NUMBER)]));
      default: // a list, no value, or no key
        return keyValues.toSpliced(
          at,
          1,
          this.pick([pair(name, LIST), field(1, Buffer.from(name)), field(2, TEXT)]),
        );
    }
  }

  /** The parts of a span with one more, which mostly is a reason to refuse it or to look at it as a whole. */
  private oddly(parts: Buffer[], odd: number): Buffer[] {
    if (this.random() >= odd) return parts;
    const content = JSON.stringify([
      { role: 'user', parts: [{ type: 'text', content: `What? ${this.ids}` }] },
    ]);
    const one = this.pick([
      () => field(1, Buffer.alloc(16)),
      () => field(2, Buffer.alloc(3, 1)),
      () => field(4, Buffer.alloc(this.below(10), 1)),
      () => fixed(7, 2n ** 63n),
      () => fixed(7, START + BigInt(this.below(60)) * NS_PER_DAY),
      () => field(3, Buffer.from([0xff])),
      () => field(5, Buffer.from(this.freshName())),
      () => field(5, Buffer.from('é'.repeat(2_100))),
      () => field(15, field(2, Buffer.from('broken'))),
      () => field(15, field(2, Buffer.from([0xfe]))),
      () => field(11, Buffer.concat([fixed(1, 2n ** 64n - 1n), field(2, Buffer.from('late'))])),
      () => field(13, field(1, Buffer.alloc(20, 1))),
      () => field(9, pair(A.inputMessages, field(1, Buffer.from(content)))),
      () => field(9, pair(A.loop, field(1, Buffer.from('x'.repeat(150 + this.below(100)))))),
      () => field(9, pair('gen_ai.system', field(1, Buffer.from('openai')))),
      () => Buffer.from([0x80, 0x06, 0x01]),
    ])();
    return parts.toSpliced(this.below(parts.length + 1), 0, one);
  }

  private keyValue(key: string): Buffer {
    const choice = this.random();
    return pair(key, this.pick(choice < 0.5 ? TEXTS : choice < 0.8 ? NUMBERS : OTHERS));
  }

  private damaged(): Buffer {
    const body = Buffer.from(this.last);
    for (let i = this.below(3); i >= 0 && body.length > 0; i--)
      body[this.below(body.length)] = this.below(256);
    return body;
  }

  below(n: number): number {
    return Math.floor(this.random() * n);
  }

  private pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!;
  }
}

const TEXT = field(1, Buffer.from('é'.repeat(60)));
const NUMBER = Buffer.from([0x18, ...Array<number>(9).fill(0xff), 0x01]);
const DOUBLE = fixed(4, 0x3ff8_0000_0000_0000n);
const LIST = field(5, field(1, TEXT));

const TEXTS = ['', 'v', 'val', 'value'].map((text) => field(1, Buffer.from(text)));
const NUMBERS = [0, 1, 99, 127].map((value) => Buffer.from([0x18, value]));
/** Of several the last one counts. */
const SEVERAL = Buffer.concat([TEXT, NUMBER, field(1, Buffer.from('v'))]);
const OTHERS = [NUMBER, LIST, TEXT, DOUBLE, SEVERAL, Buffer.alloc(0)];

export const pair = (key: string | Buffer, value: Buffer) =>
  Buffer.concat([field(1, Buffer.from(key as string)), field(2, value)]);

export function field(number: number, bytes: Buffer): Buffer {
  return Buffer.concat([varint((number << 3) | 2), varint(bytes.length), bytes]);
}

function fixed(number: number, value: bigint): Buffer {
  const bytes = Buffer.alloc(9);
  bytes[0] = (number << 3) | 1;
  bytes.writeBigUInt64LE(value, 1);
  return bytes;
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  return Buffer.from([...bytes, rest]);
}
