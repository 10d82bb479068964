import { contentHash } from '../../src/records/normalize.ts';
import { A } from '../../src/span/attributes.ts';
import type { Message } from '../../src/span/batch.ts';
import { type Capture, type ListRoom, moveContent } from '../admit/content.ts';
import type { CodingAgent } from './agents.ts';
import type { LogRecord } from './record.ts';

/** Events of the conventions before 1.37, a message each, and whose it is. */
const MESSAGE_EVENTS: ReadonlyMap<string, string> = new Map([
  ['gen_ai.system.message', 'system'],
  ['gen_ai.user.message', 'user'],
  ['gen_ai.assistant.message', 'assistant'],
  ['gen_ai.tool.message', 'tool'],
  ['gen_ai.choice', 'assistant'],
]);

/** Content by the conventions that is no message. */
const CONTENTS = [
  A.systemInstructions,
  'gen_ai.tool.definitions',
  'gen_ai.tool.call.arguments',
  'gen_ai.tool.call.result',
] as const;

/**
 * Takes prompts and answers out of a log record and leaves their hashes, as spans have it. What quotes what was done
 * (a tool's arguments) stays where it is under `full`, and leaves its hash, or nothing, otherwise.
 */
export function moveLogContent(
  record: LogRecord,
  agent: CodingAgent | undefined,
  capture: Capture,
  messages: Message[],
  room: ListRoom,
): void {
  const { attributes } = record;
  moveContent(attributes, capture, messages, room);
  if (capture === 'off') delete attributes[A.inputHash];
  const role = MESSAGE_EVENTS.get(record.eventName);
  if (role !== undefined && record.body !== '') {
    const hash = contentHash(record.body);
    if (capture === 'full') messages.push({ hash, role, content: record.body });
    if (capture !== 'off') attributes[A.bodyHash] = hash;
    record.body = '';
  }
  if (capture === 'full') return;
  for (const name of [...CONTENTS, ...(agent?.contents ?? [])]) {
    const content = attributes[name];
    if (content === undefined) continue;
    delete attributes[name];
    if (capture === 'hashed') attributes[`${name}.hash`] = contentHash(content);
  }
}
