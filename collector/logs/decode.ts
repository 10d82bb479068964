import type { OtlpEncoding } from '../../src/span/batch.ts';
import { emptyAttributes } from '../../src/span/span.ts';
import { type Fields, JsonLists, text, timeNs } from '../decode/json-fields.ts';
import { parseExactJson } from '../decode/json-text.ts';
import { anyValueText } from '../decode/json-value.ts';
import { anyValue, keyValue } from '../decode/protobuf.ts';
import { jsonSources, protobufSources, type Source } from '../decode/source.ts';
import { OBJECT_COST } from '../decode/value.ts';
import { WireReader } from '../decode/wire.ts';
import type { LogRecord } from './record.ts';

/**
 * The records of an `ExportLogsServiceRequest`. Ids come as they were sent: whether a record is fit to be kept is the
 * next stage's question. Throws `bad_input` or `body_too_large` and nothing else.
 */
export function decodeLogs(body: Buffer, encoding: OtlpEncoding): LogRecord[] {
  const records: LogRecord[] = [];
  if (encoding === 'protobuf') {
    const r = new WireReader(body);
    protobufSources(r, (source) => records.push(fromProtobuf(r, source)));
  } else {
    const lists = new JsonLists();
    jsonSources(parseExactJson(body), lists, JSON_NAMES, (fields, source) =>
      records.push(fromJson(fields, lists, source)),
    );
  }
  return records;
}

const JSON_NAMES = {
  resources: 'resourceLogs',
  scopes: 'scopeLogs',
  items: 'logRecords',
  cost: OBJECT_COST.log,
} as const;

const LEN = 2;
const FIXED64 = 1;
const FIXED32 = 5;
const VARINT = 0;

function fromProtobuf(r: WireReader, source: Source): LogRecord {
  const outer = r.enter(OBJECT_COST.log);
  const record: LogRecord = {
    timeNs: 0n,
    observedNs: 0n,
    severityNumber: 0,
    severityText: '',
    body: '',
    attributes: emptyAttributes(),
    flags: 0,
    traceId: '',
    spanId: '',
    eventName: '',
    source,
  };
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    switch (tag) {
      case (1 << 3) | FIXED64:
        record.timeNs = r.fixed64();
        break;
      case (2 << 3) | VARINT:
        record.severityNumber = r.uint32();
        break;
      case (3 << 3) | LEN:
        record.severityText = r.string();
        break;
      case (5 << 3) | LEN:
        record.body = anyValue(r, 0, false);
        break;
      case (6 << 3) | LEN:
        keyValue(r, record.attributes);
        break;
      case (8 << 3) | FIXED32:
        record.flags = r.fixed32();
        break;
      case (9 << 3) | LEN:
        record.traceId = r.hex();
        break;
      case (10 << 3) | LEN:
        record.spanId = r.hex();
        break;
      case (11 << 3) | FIXED64:
        record.observedNs = r.fixed64();
        break;
      case (12 << 3) | LEN:
        record.eventName = r.string();
        break;
      default:
        r.skip(tag);
    }
  }
  r.leave(outer);
  return record;
}

const fromJson = (fields: Fields, lists: JsonLists, source: Source): LogRecord => ({
  timeNs: timeNs(fields, 'timeUnixNano'),
  observedNs: timeNs(fields, 'observedTimeUnixNano'),
  severityNumber: severityOf(fields['severityNumber']),
  severityText: text(fields, 'severityText'),
  body: anyValueText(fields['body']),
  attributes: lists.attributes(fields),
  flags: Number(fields['flags'] ?? 0) >>> 0,
  traceId: text(fields, 'traceId').toLowerCase(),
  spanId: text(fields, 'spanId').toLowerCase(),
  eventName: text(fields, 'eventName'),
  source,
});

/** As a number, or by its name in the protocol: `SEVERITY_NUMBER_WARN2`. */
function severityOf(value: unknown): number {
  const named = typeof value === 'string' ? SEVERITY_NAME.exec(value) : null;
  if (!named) return Number(value ?? 0) >>> 0;
  return SEVERITIES.indexOf(named[1]!) * 4 + Number(named[2] ?? 1);
}

const SEVERITIES = ['TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR', 'FATAL'];
const SEVERITY_NAME = /^SEVERITY_NUMBER_(TRACE|DEBUG|INFO|WARN|ERROR|FATAL)([234])?$/;
