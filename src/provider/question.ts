import type { IncomingMessage } from 'node:http';
import { normalizeText } from '../records/normalize.ts';
import type { Found } from './answers.ts';
import { type Dialect, type Failure, isObject, type Question, RequestError } from './dialect.ts';

/** From a request body to a question, and from a question without an answer to what to do about it. */

export type Read = { outcome: 'question'; question: Question } | { outcome: 'refused'; failure: Failure };

/** As much as the gateway lets through. */
const BODY_BYTES_MAX = 32 * 1024 * 1024;

/** Reads a request's body whole, up to `BODY_BYTES_MAX`, and makes a question of it. */
export async function readQuestion(dialect: Dialect, request: IncomingMessage): Promise<Read> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > BODY_BYTES_MAX)
      return refused(413, 'request_too_large', `the body is over ${BODY_BYTES_MAX} bytes.`);
    chunks.push(chunk);
  }
  let body: unknown;
  try {
    body = JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch (error) {
    return refused(400, 'invalid_request', `the body is not JSON: ${(error as Error).message}`);
  }
  if (!isObject(body)) return refused(400, 'invalid_request', 'the body must be a JSON object.');
  try {
    return { outcome: 'question', question: dialect.read(body) };
  } catch (error) {
    if (error instanceof RequestError) return refused(400, 'invalid_request', error.message);
    throw error;
  }
}

const refused = (status: number, code: string, message: string): Read => ({
  outcome: 'refused',
  failure: { status, code, message },
});

/** Models and prompt text that an error message names at most. */
const MODELS_NAMED_MAX = 20;
const PROMPT_SHOWN_MAX = 200;

/** Says why a question has no answer here, and what to do. */
export function explain(question: Question, found: Exclude<Found, { outcome: 'answer' }>): Failure {
  const asked = JSON.stringify(question.model);
  if (found.outcome === 'model_not_found') {
    const named = found.models.slice(0, MODELS_NAMED_MAX).join(', ');
    const more =
      found.models.length > MODELS_NAMED_MAX ? `, and ${found.models.length - MODELS_NAMED_MAX} more` : '';
    const message = named
      ? `no answer of model ${asked} is recorded. Ask for one of: ${named}${more}; or record it.`
      : `no answer of any model is recorded; records need "model", "input" and "output".`;
    return { status: 404, code: 'model_not_found', message };
  }
  const hint = found.nearest
    ? `The nearest of its ${found.recorded} recorded prompts is: ${JSON.stringify(shown(found.nearest))}.`
    : `None of its ${found.recorded} recorded prompts shares a word with it.`;
  const message =
    `no answer of ${asked} to this prompt is recorded. ${hint} ` +
    'Send the user text as it was recorded (white space does not matter), or add a record with this "input".';
  return { status: 400, code: 'prompt_not_recorded', message };
}

function shown(prompt: string): string {
  const text = normalizeText(prompt);
  return text.length > PROMPT_SHOWN_MAX ? `${text.slice(0, PROMPT_SHOWN_MAX)}…` : text;
}
