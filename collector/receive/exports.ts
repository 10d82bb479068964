import type { IncomingMessage, ServerResponse } from 'node:http';
import { tokenCheck } from '../../src/bearer-token.ts';
import { LoopscopeError } from '../../src/errors.ts';
import type { OtlpEncoding, Signal } from '../../src/span/batch.ts';
import { LIMITS } from '../../src/span/limits.ts';
import { type Answer, encodeAnswer, type HttpAnswer } from './answer.ts';
import { discardRest, lengthOf, readBody, tooLarge } from './body.ts';
import { answerAndHangUp } from './hang-up.ts';
import type { Incoming } from './intake.ts';
import type { ReceiveOptions } from './options.ts';

/** A sender that was told "not now" may come again after 1 to this many seconds, drawn so that they spread. */
const RETRY_AFTER_S_MAX = 4;
/** Reading a longer body only to throw it away costs more than a new connection, under overload of all times. */
const WORTH_READING_BYTES_MAX = 64 * 1024;
/** Of what a sender without a token sends on. */
const STRANGER_BYTES_MAX = 1024 * 1024;

export type Refused = Extract<Answer, { kind: 'refused' }>;

/** Requests for export and what they are answered. */
export interface Exports {
  /** Takes one to its end. What it throws is a bug. */
  take(request: IncomingMessage, response: ServerResponse, signal: Signal): Promise<void>;
  /** Answers a request that is refused, whatever of its body has come. */
  refuse(request: IncomingMessage, response: ServerResponse, refused: Refused, encoding: OtlpEncoding): void;
  /** What is told of an error. */
  refusal(error: unknown): Refused;
}

/** `reply` sends an answer that is ready. */
export function exportsOf(
  options: Omit<ReceiveOptions, 'readiness' | 'metrics'>,
  reply: (response: ServerResponse, status: number, headers: HttpAnswer['headers'], body: Buffer) => void,
): Exports {
  const { log, intake } = options;
  const bodyBytesMax = options.bodyBytesMax ?? LIMITS.otlpBodyBytesMax;
  const isAuthorized = tokenCheck(options.token);

  /** Lets a request in by its head alone, or says why not. */
  function admit(request: IncomingMessage, encoding: OtlpEncoding | undefined): Incoming | Refused {
    const { method, headers } = request;
    if (method !== 'POST') return refused(405, `expected POST, found ${method}.`);
    if (!isAuthorized(headers.authorization))
      return refused(401, 'Expected the collector\'s token as "authorization: Bearer TOKEN".');
    if (!encoding) return unsupported(headers['content-type']);
    const length = lengthOf(request);
    try {
      if (length !== undefined && length > bodyBytesMax) throw tooLarge(bodyBytesMax);
      return intake.open(length, isPacked(request), () => cutOff(request));
    } catch (error) {
      return refusal(error);
    }
  }

  async function take(request: IncomingMessage, response: ServerResponse, signal: Signal): Promise<void> {
    const encoding = encodingOf(request.headers['content-type']);
    const incoming = admit(request, encoding);
    if ('kind' in incoming) return refuse(request, response, incoming, encoding ?? 'json');
    try {
      if (expectsContinue(request)) response.writeContinue();
      const body = await readBody(request, bodyBytesMax, incoming);
      incoming.arrival.over();
      const repeatable = request.headers['x-loopscope-repeatable'] === 'true';
      const accept = () => options.accept({ signal, body, encoding: encoding!, repeatable });
      const answer = await intake.queue.run(body.length, accept);
      if (answer.kind === 'refused') return refuse(request, response, answer, encoding!);
      const { status, headers, body: text } = encodeAnswer(answer, encoding!, signal);
      options.onAnswer(status);
      reply(response, status, headers, text);
    } catch (error) {
      if (request.destroyed && !request.complete) return; // nobody is there to be answered
      refuse(request, response, refusal(error), encoding!);
    } finally {
      incoming.arrival.over();
      incoming.lease.release();
    }
  }

  /** Without an answer: by OTLP a sender comes again after a connection that was closed, and never after a 408. */
  function cutOff(request: IncomingMessage): void {
    options.onAnswer(408);
    log.debug('a body came too slowly: its connection is closed');
    request.destroy();
  }

  function refuse(
    request: IncomingMessage,
    response: ServerResponse,
    what: Refused,
    encoding: OtlpEncoding,
  ): void {
    const { status, headers, body } = encodeAnswer(what, encoding);
    options.onAnswer(status);
    log.debug({ status, reason: what.message }, 'an export request was refused');
    if (status === 401) headers['www-authenticate'] = 'Bearer';
    if (status === 405) headers['allow'] = 'POST';
    // A sender that was not told to go on may or may not send its body: what comes next cannot be told apart.
    if (expectsContinue(request) && !request.complete) headers['connection'] = 'close';
    if (!request.complete && (lengthOf(request) ?? 0) > WORTH_READING_BYTES_MAX && status === 503) {
      answerAndHangUp(request, response, { status, headers, body });
      return;
    }
    discardRest(request, status === 401 ? STRANGER_BYTES_MAX : bodyBytesMax);
    reply(response, status, headers, body);
  }

  function refusal(error: unknown): Refused {
    if (error instanceof LoopscopeError) {
      const retryAfterS = error.retryable ? 1 + Math.floor(options.random() * RETRY_AFTER_S_MAX) : undefined;
      return { kind: 'refused', status: error.status, message: error.message, retryAfterS };
    }
    log.error({ err: error }, 'a bug: an export request failed unexpectedly');
    return refused(500, 'The collector failed unexpectedly; its log says more.');
  }

  return { take, refuse, refusal };
}

export const refused = (status: number, message: string): Refused => ({ kind: 'refused', status, message });

const isPacked = ({ headers }: IncomingMessage) =>
  (headers['content-encoding'] ?? 'identity').trim().toLowerCase() !== 'identity';

const expectsContinue = (request: IncomingMessage) =>
  request.headers.expect?.toLowerCase() === '100-continue';

function encodingOf(contentType = ''): OtlpEncoding | undefined {
  const type = contentType.split(';', 1)[0]!.trim().toLowerCase();
  if (type === 'application/x-protobuf' || type === 'application/protobuf') return 'protobuf';
  return type === 'application/json' ? 'json' : undefined;
}

const unsupported = (contentType: string | undefined) =>
  refused(
    415,
    `content-type: expected application/x-protobuf or application/json, found ${JSON.stringify(contentType?.slice(0, 80) ?? 'none')}.`,
  );
