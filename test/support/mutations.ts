import { seededRandom } from '../../src/clock.ts';
import { A } from '../../src/span/attributes.ts';
import type { OtlpEncoding } from '../../src/span/batch.ts';
import { encodeRequest } from './otlp-proto.ts';

type Random = () => number;
type Mutation = (body: Buffer, random: Random, other: Buffer) => Buffer;

/** A request that is in order; `n` tells them apart. */
export function soundRequest(encoding: OtlpEncoding, n: number): Buffer {
  const isJson = encoding === 'json';
  const id = (bytes: number, i: number) => {
    const hex = `${((n * 64 + i) >>> 0).toString(16)}`.padStart(bytes * 2, '5');
    return isJson ? hex : Buffer.from(hex, 'hex');
  };
  const whole = (value: bigint) => (isJson ? String(value) : value);
  const attribute = (key: string, value: object) => ({ key, value });
  const text = (key: string, stringValue: string) => attribute(key, { stringValue });
  const messages = JSON.stringify([{ role: 'user', parts: [{ type: 'text', content: `ping ${n}` }] }]);
  const span = (i: number) => ({
    traceId: id(16, 0),
    spanId: id(8, i),
    ...(i > 1 && { parentSpanId: id(8, 1) }),
    traceState: 'a=b',
    name: `chat model-${i}`,
    kind: i % 6,
    startTimeUnixNano: whole(1_700_000_000_000_000_000n + BigInt(n)),
    endTimeUnixNano: whole(1_700_000_001_000_000_000n + BigInt(n)),
    attributes: [
      text(A.loop, `loop-${n % 5}`),
      text(A.runId, `run-${n}`),
      text(A.record, i === 1 ? 'run' : 'call'),
      attribute(A.inputTokens, { intValue: whole(BigInt(i) - (n % 3 === 0 ? 1n << 62n : 0n)) }),
      attribute(A.costUsd, { doubleValue: 0.0012 }),
      attribute('a.flag', { boolValue: true }),
      attribute('a.bytes', { bytesValue: isJson ? 'AAEC' : Buffer.from([0, 1, 2]) }),
      attribute('a.list', { arrayValue: { values: [{ stringValue: 'ä"\\' }, { intValue: whole(7n) }, {}] } }),
      attribute('a.map', { kvlistValue: { values: [text('k', 'v'), attribute('n', { arrayValue: {} })] } }),
      ...(i % 3 === 0 ? [text(A.inputMessages, messages)] : []),
    ],
    events: [{ timeUnixNano: whole(5n), name: 'e', attributes: [text('x', 'y')] }],
    links: i % 2 === 0 ? [{ traceId: id(16, 9), spanId: id(8, 9), attributes: [text('l', 'm')] }] : [],
    status: { code: i % 3, message: 'fine' },
  });
  const spans = Array.from({ length: 1 + (n % 4) }, (_, i) => span(i + 1));
  const request = {
    resourceSpans: [
      {
        resource: { attributes: [text('service.name', 'fuzz')] },
        scopeSpans: [{ scope: { name: 's', version: '1' }, spans }],
      },
    ],
  };
  return isJson ? Buffer.from(JSON.stringify(request)) : encodeRequest('traces', request);
}

const at = (body: Buffer, random: Random) => Math.floor(random() * (body.length + 1));
const below = (n: number, random: Random) => Math.floor(random() * n);
const insert = (body: Buffer, where: number, what: Buffer, instead = 0) =>
  Buffer.concat([body.subarray(0, where), what, body.subarray(where + instead)]);

const anywhere: Mutation[] = [
  // a bit
  (body, random) => {
    const copy = Buffer.from(body);
    if (copy.length > 0) copy[below(copy.length, random)]! ^= 1 << below(8, random);
    return copy;
  },
  // the end is missing
  (body, random) => body.subarray(0, at(body, random)),
  // a piece is missing, or there twice
  (body, random) => insert(body, at(body, random), Buffer.alloc(0), below(64, random)),
  (body, random) => {
    const from = at(body, random);
    return insert(body, from, body.subarray(from, from + below(200, random)));
  },
  // the beginning of one and the end of another
  (body, random, other) =>
    Buffer.concat([body.subarray(0, at(body, random)), other.subarray(at(other, random))]),
  (body, random) => insert(body, at(body, random), Buffer.from([below(256, random), below(256, random)])),
  // what is not UTF-8
  (body, random) => insert(body, at(body, random), Buffer.from([0xff, 0xc0, 0x80, 0xed, 0xa0, 0x80]), 3),
];

const HUGE = Buffer.from('ffffffffffffffffff01', 'hex');
const inProtobuf: Mutation[] = [
  // a length, or a number, of more than there is
  (body, random) =>
    insert(body, at(body, random), HUGE.subarray(below(HUGE.length, random)), below(3, random)),
  (body, random) => insert(body, at(body, random), Buffer.alloc(1 + below(20, random), 0xff)),
  // fields of every kind, groups that are never closed among them, in the wrong places
  (body, random) => insert(body, at(body, random), Buffer.from([below(256, random), 0x7f])),
  (body, random) => insert(body, at(body, random), Buffer.alloc(below(3_000, random), 0x0b)),
  // lists in lists, all of the right lengths
  (_body, random) => {
    let value: Buffer = Buffer.from([0x0a, 1, 0x78]);
    for (let depth = below(random() < 0.02 ? 2_000 : 100, random); depth > 0; depth--)
      value = field(random() < 0.9 ? 5 : 6, field(1, random() < 0.9 ? value : field(2, value)));
    const attribute = Buffer.concat([field(1, Buffer.from('deep')), field(2, value)]);
    return field(1, field(2, field(2, Buffer.concat([SOUND_IDS, field(9, attribute)]))));
  },
];

const LITERALS = [
  'null',
  '7',
  '-1e400',
  '1e999',
  '"x"',
  '[]',
  '{}',
  'true',
  '[[[]]]',
  '"\\ud800"',
  '{"__proto__":{}}',
];
const KEYS = ['"traceId"', '"attributes"', '"spans"', '"value"', '"__proto__"', '"constructor"', '"key"'];
const inJson: Mutation[] = [
  // another type than expected
  (body, random) => {
    const text = body.toString();
    const values = [...text.matchAll(/:\s*("[^"]*"|[\d.-]+|true|\{|\[)/g)];
    const match = values[below(values.length, random)];
    if (!match) return body;
    const where = match.index + 1;
    const literal = LITERALS[below(LITERALS.length, random)]!;
    return Buffer.from(text.slice(0, where) + literal + text.slice(where + match[1]!.length));
  },
  // a name twice, or another one
  (body, random) => {
    const text = body.toString();
    const braces = [...text.matchAll(/\{/g)];
    const match = braces[below(braces.length, random)];
    if (!match) return body;
    const pair = `${KEYS[below(KEYS.length, random)]}:${LITERALS[below(LITERALS.length, random)]},`;
    return Buffer.from(text.slice(0, match.index + 1) + pair + text.slice(match.index + 1));
  },
  (body, random) => {
    const many = 1 + below(random() < 0.02 ? 20_000 : 500, random);
    const [open, close] = random() < 0.5 ? ['[', ']'] : ['{"a":', '}'];
    return insert(
      body,
      at(body, random),
      Buffer.from(`${open.repeat(many)}1${random() < 0.5 ? close.repeat(many) : ''}`),
    );
  },
  // lists in lists, as OTLP writes them
  (body, random) => {
    const many = 1 + below(random() < 0.02 ? 3_000 : 100, random);
    const deep = `{"arrayValue":{"values":[`.repeat(many) + ']}}'.repeat(many);
    return Buffer.from(body.toString().replace('{"stringValue":"fuzz"}', deep));
  },
  (body, random) => insert(body, at(body, random), Buffer.from('9'.repeat(1 + below(400, random)))),
  (body, random) => insert(body, at(body, random), Buffer.from('\\ud800\\u0000')),
];

/**
 * Requests that are nearly right, for traces unless told otherwise: valid ones with a few things broken, in the ways
 * that break decoders. One seed gives the same ones again.
 */
export function mutations(seed: number, encoding: OtlpEncoding, request = soundRequest): () => Buffer {
  const random = seededRandom(seed);
  const sound = Array.from({ length: 64 }, (_, n) => request(encoding, n));
  const kinds = [...anywhere, ...(encoding === 'json' ? inJson : inProtobuf)];
  return () => {
    let body = sound[below(sound.length, random)]!;
    for (let times = random() < 0.6 ? 1 : 1 + below(4, random); times > 0; times--)
      body = kinds[below(kinds.length, random)]!(body, random, sound[below(sound.length, random)]!);
    return body;
  };
}

const SOUND_IDS = Buffer.concat([field(1, Buffer.alloc(16, 1)), field(2, Buffer.alloc(8, 1))]);

function field(number: number, value: Buffer): Buffer {
  const length: number[] = [];
  let rest = value.length;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) length.push((rest % 0x80) | 0x80);
  return Buffer.concat([Buffer.from([(number << 3) | 2, ...length, rest]), value]);
}
