import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import type { Operation, Protocol } from '../../src/gateway/protocol.ts';
import { openTap } from '../../src/gateway/tap/open.ts';
import type { Tap } from '../../src/gateway/tap/tap.ts';

/** The official clients over bytes that a test gives them, and our own reading of the same bytes. */

const answering = (contentType: string, bytes: Uint8Array) => async () =>
  new Response(new Blob([new Uint8Array(bytes)]).stream(), { headers: { 'content-type': contentType } });

const STREAM = 'text/event-stream; charset=utf-8';

export const openaiClient = (bytes: Uint8Array, contentType = STREAM) =>
  new OpenAI({ apiKey: 'sk-test', maxRetries: 0, logLevel: 'off', fetch: answering(contentType, bytes) });

export const anthropicClient = (bytes: Uint8Array, contentType = STREAM) =>
  new Anthropic({ apiKey: 'sk-test', maxRetries: 0, logLevel: 'off', fetch: answering(contentType, bytes) });

/** Typed events as OpenAI's Responses API and Anthropic send them. */
export const typedEvents = (events: readonly ({ type: string } & Record<string, unknown>)[]): Buffer =>
  Buffer.from(events.map((e) => `event: ${e.type}\ndata: ${JSON.stringify(e)}\n\n`).join(''));

export function tapOf(protocol: Protocol, operation: Operation, content = true): Tap {
  return openTap({ protocol, operation, content, status: 200, contentType: STREAM, contentEncoding: '' });
}

/** What we read of a whole stream. */
export async function readAll(protocol: Protocol, path: string, bytes: Buffer, content = true) {
  const tap = tapOf(protocol, protocol.operation('POST', path)!, content);
  tap.write(bytes);
  const { isComplete } = tap;
  const { answer, ...result } = await tap.end();
  return { ...result, answer: answer!, isComplete };
}
