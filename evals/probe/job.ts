import type { Clock } from '../../src/clock.ts';
import type { Config } from '../../src/config.ts';
import { LoopscopeError } from '../../src/errors.ts';
import { loadRegistry } from '../../src/registry/load.ts';
import type { VerdictRule } from '../../src/registry/loop.ts';
import type { Store } from '../../src/store/client.ts';
import { type GoldenRow, loadIndex } from '../../src/store/golden.ts';
import { insertProbe, type ProbeJobRow, probesDone } from '../../src/store/probes.ts';
import { makeScorer } from '../scorers/registry.ts';
import type { Suite } from '../suite.ts';
import { probeOnce } from './once.ts';
import { type Planned, plan } from './plan.ts';
import type { ProbeSettings } from './settings.ts';
import { templatesOf } from './templates.ts';

/**
 * Sends the probes of one job and stores each as it is over. A probe's id follows from the job's, so that a job which was
 * cut off asks only what it has not asked. At most `AT_ONCE_MAX` at a time, none after the deadline.
 */
const AT_ONCE_MAX = 4;

export interface JobContext {
  store: Store;
  clock: Clock;
  config: Pick<Config, 'directory' | 'providers' | 'keyOf'>;
  gatewayUrl: string;
  signal: AbortSignal;
}

/** A suite that has probes. */
export interface ProbedSuite extends Suite {
  probe: ProbeSettings;
}

/** Which of a dataset's items a job asks about; `makerVersion` says in which words the maker is asked. */
export type ChooseItems = (all: readonly GoldenRow[], makerVersion: string | undefined) => GoldenRow[];

export interface JobResult {
  planned: number;
  answered: number;
  errors: number;
  /** What was left out, and why; `''` where nothing was. */
  message: string;
}

/**
 * Runs a job; with `requestedModel` only agents are asked that ask for that model. Throws `not_found` without golden data,
 * `config_invalid` where the loops' files are wrong, and what the store throws.
 */
export async function runProbeJob(
  job: ProbeJobRow,
  suite: ProbedSuite,
  choose: ChooseItems,
  context: JobContext & { requestedModel?: string | undefined },
): Promise<JobResult> {
  const { store, config, signal } = context;
  const index = await loadIndex(store, suite.dataset);
  if (!index)
    throw new LoopscopeError(
      'not_found',
      `The probes of suite ${suite.suite} need golden data for dataset ${suite.dataset}, and there is none. Import some: \`loopscope golden import FILE --dataset ${suite.dataset}\`.`,
    );
  const all = [...index.byItem.values()].sort((a, b) => (a.item_id < b.item_id ? -1 : 1));
  const { agents = [] } = loadRegistry(config.directory).loop(suite.loop) ?? {};
  const rule = agents.find(({ name }) => name === suite.probe.checker?.agent)?.verdict;
  const { templates, notes } = await templatesOf(suite, rule, context);
  const chosen = choose(all, templates.find(({ kind }) => kind === 'maker')?.version);
  const planned = templates.flatMap((template) => plan(template, chosen, all, job));
  if (templates.some(({ kind }) => kind === 'checker') && new Set(all.map((i) => i.expected)).size < 2)
    notes.push('All items expect the same answer: the checker is shown no wrong ones.');

  const { key_env, deadline_s } = suite.probe;
  const key = key_env === undefined ? undefined : config.keyOf(key_env);
  if (key_env !== undefined && key === undefined)
    notes.push(`The environment has no ${key_env} (probe.key_env): probes went without a key.`);
  const done = await probesDone(store, job);
  const rest = planned.filter(({ runId }) => !done.has(runId));
  const now = await send(rest, job, suite, { ...context, key, rule });
  const errors = now.errors + [...done.values()].filter((error) => error !== '').length;
  const answered = now.answered + now.errors + done.size - errors;
  const left = rest.length - now.answered - now.errors;
  if (left > 0 && !signal.aborted)
    notes.push(`${left} were left out: they were not over within probe.deadline_s, ${deadline_s} s.`);
  return { planned: planned.length, answered, errors, message: notes.join(' ') };
}

/** Sends questions until all are over, or the deadline is. */
async function send(
  questions: readonly Planned[],
  job: ProbeJobRow,
  suite: ProbedSuite,
  context: JobContext & { key: string | undefined; rule: VerdictRule | undefined },
): Promise<{ answered: number; errors: number }> {
  const { store, clock, config, gatewayUrl, rule } = context;
  const services = { clock, keyOf: config.keyOf, gatewayUrl };
  const scorer = makeScorer(suite.scorer, suite.directory, services);
  const deadline = deadlineIn(suite.probe.deadline_s * 1000, clock, context.signal);
  const { signal } = deadline;
  // A scorer at work must not hold up the end.
  const abandon = () => void scorer.close?.();
  signal.addEventListener('abort', abandon, { once: true });
  const tally = { answered: 0, errors: 0 };
  try {
    await inParallel(questions, AT_ONCE_MAX, async (question) => {
      if (signal.aborted) return;
      const asking = { gatewayUrl, config, key: context.key, signal };
      const row = await probeOnce(question, job, { asking, scorer, rule, clock });
      // What was cut off on purpose is no failure of the loop's.
      if (signal.aborted && row.error !== '') return;
      await insertProbe(store, row);
      tally[row.error === '' ? 'answered' : 'errors']++;
    });
  } finally {
    signal.removeEventListener('abort', abandon);
    deadline.clear();
    await scorer.close?.();
  }
  return tally;
}

/** A signal that fires after `ms`, or when `stop` does. */
function deadlineIn(ms: number, clock: Clock, stop: AbortSignal) {
  const over = new AbortController();
  const cleared = new AbortController();
  clock.sleep(ms, AbortSignal.any([stop, cleared.signal])).then(
    () => over.abort(),
    () => {
      if (stop.aborted) over.abort();
    },
  );
  return { signal: over.signal, clear: () => cleared.abort() };
}

/** Works through a list, so many at a time; the first that throws ends it when those under way are over. */
async function inParallel<T>(
  list: readonly T[],
  atOnce: number,
  work: (one: T) => Promise<void>,
): Promise<void> {
  const waiting = [...list].reverse();
  const worker = async () => {
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      try {
        await work(next);
      } catch (error) {
        waiting.length = 0;
        throw error;
      }
    }
  };
  const ended = await Promise.allSettled(Array.from({ length: Math.min(atOnce, list.length) }, worker));
  for (const one of ended) if (one.status === 'rejected') throw one.reason;
}
