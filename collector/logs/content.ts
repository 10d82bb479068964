import { A } from '../../src/span/attributes.ts';
import type { Capture, ContentMover } from '../admit/content.ts';
import { DETAILS_EVENT, eventRole } from '../admit/content-names.ts';
import type { CodingAgent } from './agents.ts';
import { isGenAi } from './names.ts';
import type { LogRecord } from './record.ts';

/** Takes what was said out of a log record, as out of an event of a span; here the body may say it as well. */
export function moveLogContent(
  record: LogRecord,
  agent: CodingAgent | undefined,
  capture: Capture,
  content: ContentMover,
): void {
  const { attributes, eventName } = record;
  const ofGenAi = isGenAi(record);
  if (agent) content.fromAttributes(attributes, capture, ofGenAi, agent.contents);
  else content.fromEvent({ name: eventName, attributes }, capture, ofGenAi);
  if (capture === 'off') delete attributes[A.inputHash];
  const role = eventRole(eventName, ofGenAi);
  if ((role === undefined && eventName !== DETAILS_EVENT) || record.body === '') return;
  const { body } = record;
  record.body = '';
  if (capture === 'off') return;
  attributes[A.bodyHash] =
    role === undefined ? content.fromJson(body, capture) : content.fromText(body, role, capture);
}
