import type { FastifyError, FastifyInstance, FastifyReply } from 'fastify';
import type { Logger } from 'pino';
import { z } from 'zod';
import type { Clock } from '../../src/clock.ts';
import type { Config } from '../../src/config.ts';
import { type ErrorCode, LoopscopeError } from '../../src/errors.ts';
import type { Store } from '../../src/store/client.ts';
import { labelQueue, type QueueEntry } from '../../src/store/label-queue.ts';
import type { LabelRow } from '../../src/store/labels.ts';
import { runContent } from '../../src/store/run-content.ts';
import type { Metrics } from '../metrics.ts';
import type { Suite } from '../suite.ts';
import { labelAccess } from './access.ts';
import { Comment, LabelScore, label, Rater } from './label.ts';
import { waitingFor } from './waiting.ts';

/**
 * Labels by HTTP, for tools of one's own: what waits to be labelled, and a label. What is asked in a page of a browser is
 * refused by who may call (`access.ts`) and by its type: only JSON is taken, which a page cannot send elsewhere
 * without asking first, and it is never told that it may.
 */
export interface LabelRoutes {
  store: Store;
  clock: Clock;
  config: Pick<Config, 'evals'>;
  suites: () => readonly Suite[];
  metrics: Metrics;
  log: Logger;
}

const BODY_BYTES_MAX = 16 * 1024;
const RUNS_DEFAULT = 20;
const RUNS_MAX = 100;
/** Of an input or an output; what is longer is cut, and `cut` says so. */
const TEXT_LENGTH_MAX = 64 * 1024;

const name = z.string().min(1).max(200);

const Asked = z.strictObject({
  loop: name.optional(),
  rater: Rater.optional(),
  limit: z.coerce.number().int().min(1).max(RUNS_MAX).default(RUNS_DEFAULT),
});

const Posted = z
  .strictObject({
    loop: name,
    run: name,
    rater: Rater,
    score: LabelScore.optional(),
    pass: z.boolean().optional(),
    /** Takes back what the rater said of the run. */
    withdraw: z.literal(true).optional(),
    comment: Comment.optional(),
  })
  .refine(
    (said) => [said.score, said.pass, said.withdraw].filter((field) => field !== undefined).length === 1,
    'expected one of score, pass and withdraw',
  );

/** Adds `GET /labels/queue` and `POST /labels`. Throws `config_invalid` for a token that is not there. */
export function addLabelRoutes(app: FastifyInstance, options: LabelRoutes): void {
  const { store, clock, config, suites, metrics, log } = options;
  const admit = labelAccess(config.evals);

  const shown = async ({ loop, run_id, probability, asked_at, raters }: QueueEntry) => {
    const datasets = suites()
      .filter((suite) => suite.loop === loop)
      .map((suite) => suite.dataset);
    const run = await runContent(store, { loop, runId: run_id, datasets });
    const texts = { input: run?.input ?? null, output: run?.output ?? null, expected: run?.expected ?? null };
    return {
      loop,
      run: run_id,
      trace_id: run?.traceId ?? null,
      started_at: run ? new Date(run.startedAt).toISOString() : null,
      served_model: run?.servedModel || null,
      ...Object.fromEntries(Object.entries(texts).map(([of, text]) => [of, text && cutOff(text)])),
      cut: Object.entries(texts).flatMap(([of, text]) => (text && text.length > TEXT_LENGTH_MAX ? [of] : [])),
      probability,
      asked_at: new Date(asked_at).toISOString(),
      raters,
    };
  };

  app.register(async (routes) => {
    routes.removeContentTypeParser('text/plain');
    // Before the body is read.
    routes.addHook('onRequest', async (request) => {
      admit({ address: request.socket.remoteAddress, headers: request.headers });
    });
    routes.setErrorHandler((error: FastifyError, _, reply) => answer(error, reply));

    routes.get('/labels/queue', async (request) => {
      const { loop, rater, limit } = parsed(Asked, request.query);
      const waiting = waitingFor(rater, await labelQueue(store, { loop }));
      const runs = [];
      for (const entry of waiting.slice(0, limit)) runs.push(await shown(entry));
      return { waiting: waiting.length, runs };
    });

    routes.post('/labels', { bodyLimit: BODY_BYTES_MAX }, async (request, reply) => {
      const { loop, run, rater, score, pass, comment } = parsed(Posted, request.body);
      const said = score ?? (pass === undefined ? null : Number(pass));
      const row = await label({ store, clock }, { loop, runId: run, rater, score: said, comment });
      metrics.add('labels_received_total', { loop });
      return reply.status(201).send({ label: document(row) });
    });
  });

  function answer(error: FastifyError, reply: FastifyReply) {
    const refusal = asRefusal(error);
    if (!refusal) log.error({ reason: error.message }, 'a label request failed');
    const { code, status, message } = refusal ?? {
      code: 'internal' as const,
      status: 500,
      message: 'an internal error; the log of the evals says which',
    };
    metrics.add('label_requests_refused_total', { code });
    if (code === 'token_invalid') reply.header('www-authenticate', 'Bearer');
    return reply.status(status).send({ error: { code, message } });
  }
}

const cutOff = (text: string) => text.slice(0, TEXT_LENGTH_MAX);

const document = ({ run_id, labelled_at, ...row }: LabelRow) => ({
  ...row,
  run: run_id,
  labelled_at: new Date(labelled_at).toISOString(),
});

function parsed<S extends z.ZodType>(schema: S, value: unknown): z.infer<S> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const complaints = result.error.issues.map((issue) =>
    issue.path.length === 0 ? issue.message : `${issue.path.join('.')}: ${issue.message}`,
  );
  throw new LoopscopeError('bad_input', `${complaints.join('; ')}.`);
}

/** What Fastify itself refuses, in our words. */
const BY_FASTIFY: Partial<Record<string, readonly [ErrorCode, string]>> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: ['unsupported_media_type', 'expected the content type application/json.'],
  FST_ERR_CTP_BODY_TOO_LARGE: ['body_too_large', `expected a body of at most ${BODY_BYTES_MAX} bytes.`],
  FST_ERR_CTP_EMPTY_JSON_BODY: ['bad_input', 'expected a JSON body.'],
  FST_ERR_CTP_INVALID_JSON_BODY: ['bad_input', 'the body is not valid JSON.'],
};

/** `undefined` for what is a bug. */
function asRefusal(error: FastifyError): LoopscopeError | undefined {
  if (error instanceof LoopscopeError) return error;
  const [code, message] = BY_FASTIFY[error.code] ?? [];
  if (code && message) return new LoopscopeError(code, message);
  return error.statusCode === 400 ? new LoopscopeError('bad_input', error.message) : undefined;
}
