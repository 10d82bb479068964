import { A } from '../../src/span/attributes.ts';
import { mayBeContent } from '../admit/content-names.ts';
import { MARKERS } from '../admit/conventions.ts';
import { KINDS, STATUS_CODES } from '../decode/enums.ts';
import { Names } from './names.ts';

/** What must be known of an attribute's name while a span is read. */
export const ROLE = {
  /** Says that the span is a GenAI one, of whatever convention. */
  marker: 1,
  /** Says what the span stands for, in our words: it needs no other names. */
  record: 2,
  /** It holds, or may hold, what was said: an attribute's value, or an event. */
  content: 4,
  /** Its value is the name of a loop, a run or an agent. */
  owner: 8,
} as const;

const ROLES = new Map<string, number>([
  ...MARKERS.map((name) => [name, ROLE.marker] as const),
  ...[A.loop, A.runId, A.agentName].map((name) => [name, ROLE.owner] as const),
  [A.record, ROLE.record],
]);

export const EMPTY_NAME = 0;
/** OTLP's number of a kind or status code, added to these, is the name's number. */
export const FIRST_KIND = 1;
export const FIRST_STATUS = FIRST_KIND + KINDS.length;

/** The names of spans, events, services, attributes, kinds and status codes. */
export const spanNames = (): Names =>
  new Names(
    ['', ...KINDS, ...STATUS_CODES],
    (name) => ROLES.get(name) ?? (mayBeContent(name) ? ROLE.content : 0),
  );
