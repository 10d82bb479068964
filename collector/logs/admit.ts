import { A } from '../../src/span/attributes.ts';
import type { Message } from '../../src/span/batch.ts';
import { LIMITS } from '../../src/span/limits.ts';
import type { Span } from '../../src/span/span.ts';
import { type Capture, ContentMover } from '../admit/content.ts';
import { boundAttributes, cutText } from '../admit/cut.ts';
import { type FindLoop, loopOf } from '../admit/normalize.ts';
import { moveLogContent } from './content.ts';
import { type AgentRecord, deriveSpans } from './derive.ts';
import { normalize } from './names.ts';
import type { LogRecord } from './record.ts';

/** Why a log record was not taken. */
export const REJECTIONS = {
  log_time: 'its time is past the year 2262',
  log_name_too_long: `its loop, run or agent name is longer than ${LIMITS.nameLengthMax} characters`,
} as const;
export type Rejection = keyof typeof REJECTIONS;

/** What was cut off records that were taken; `ids` that are none are left out. */
export type Cut = 'attributes' | 'value' | 'body' | 'name' | 'ids';

export interface AdmitOptions {
  /** What is kept of a loop's prompts and answers. */
  capture: (loop: string) => Capture;
  findLoop: FindLoop | undefined;
  /** When the request came: the time of records that have none. */
  receivedNs: bigint;
}

export interface Admitted {
  records: LogRecord[];
  /** What coding agents' events stand for. */
  spans: Span[];
  messages: Message[];
  rejected: Partial<Record<Rejection, number>>;
  cut: Partial<Record<Cut, number>>;
}

/** Decides which records are kept and brings them within `LIMITS`. Changes the records it is given. */
export function admit(records: readonly LogRecord[], options: AdmitOptions): Admitted {
  const { capture, findLoop, receivedNs } = options;
  const content = new ContentMover();
  const { messages } = content;
  const admitted: Admitted = { records: [], spans: [], messages, rejected: {}, cut: {} };
  const onCut = (what: Cut) => {
    admitted.cut[what] = (admitted.cut[what] ?? 0) + 1;
  };
  const ofAgents: AgentRecord[] = [];
  for (const record of records) {
    record.timeNs ||= record.observedNs || receivedNs;
    const rejection = rejectionOf(record);
    if (rejection) {
      admitted.rejected[rejection] = (admitted.rejected[rejection] ?? 0) + 1;
      continue;
    }
    dropWrongIds(record, onCut);
    const agent = normalize(record);
    const loop = loopOf(record.attributes, record.source.resource.attributes);
    content.traceId = record.traceId;
    moveLogContent(record, agent, loop === undefined ? 'off' : capture(loop), content);
    bound(record, onCut);
    admitted.records.push(record);
    if (agent) ofAgents.push({ record, agent });
  }
  const sources = new Set(admitted.records.map(({ source }) => source));
  const shared = new Set(
    [...sources].flatMap(({ resource, scope }) => [resource.attributes, scope.attributes]),
  );
  for (const attributes of shared) boundAttributes(attributes, onCut);
  admitted.spans = deriveSpans(ofAgents, findLoop);
  return admitted;
}

/** The last nanosecond of ClickHouse's DateTime64(9). */
const TIME_MAX_NS = 2n ** 63n - 1n;
const NAMES = [A.loop, A.runId, A.agentName];

function rejectionOf({ timeNs, attributes }: LogRecord): Rejection | undefined {
  if (timeNs > TIME_MAX_NS) return 'log_time';
  if (NAMES.some((name) => (attributes[name]?.length ?? 0) > LIMITS.nameLengthMax))
    return 'log_name_too_long';
  return undefined;
}

const TRACE_ID = /^(?!0+$)[0-9a-f]{32}$/;
const SPAN_ID = /^(?!0+$)[0-9a-f]{16}$/;
const ZEROS = /^0*$/;

/** A record is worth keeping without its trace; all zeros is how some say that there is none. */
function dropWrongIds(record: LogRecord, onCut: (what: Cut) => void): void {
  for (const [id, form] of [
    ['traceId', TRACE_ID],
    ['spanId', SPAN_ID],
  ] as const) {
    if (form.test(record[id])) continue;
    if (!ZEROS.test(record[id])) onCut('ids');
    record[id] = '';
  }
}

function bound(record: LogRecord, onCut: (what: Cut) => void): void {
  boundAttributes(record.attributes, onCut);
  const body = cutText(record.body, LIMITS.attributeValueBytesMax);
  if (body !== record.body) onCut('body');
  record.body = body;
  for (const name of ['eventName', 'severityText'] as const) {
    const text = cutText(record[name], LIMITS.spanNameBytesMax);
    if (text !== record[name]) onCut('name');
    record[name] = text;
  }
}
