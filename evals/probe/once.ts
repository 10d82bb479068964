import type { Clock } from '../../src/clock.ts';
import { readVerdict } from '../../src/gateway/verdict.ts';
import type { VerdictRule } from '../../src/registry/loop.ts';
import type { ProbeJobRow, ProbeRow } from '../../src/store/probes.ts';
import { tryScore } from '../scorers/registry.ts';
import type { Scorer } from '../scorers/scorer.ts';
import { type Asking, ask } from './ask.ts';
import { itemHash } from './paired.ts';
import type { Planned } from './plan.ts';

const ERROR_LENGTH_MAX = 500;

export interface Answering {
  asking: Asking;
  scorer: Scorer;
  /** How the checker's answer is read: as the gateway does, by what the loop's file says. */
  rule: VerdictRule | undefined;
  clock: Clock;
}

/** Asks one question and judges the answer: a score of the maker's, a verdict of the checker's, or why there is neither. */
export async function probeOnce(
  planned: Planned,
  { loop, suite, job_id, reason }: ProbeJobRow,
  { asking, scorer, rule, clock }: Answering,
): Promise<ProbeRow> {
  const { kind, runId, item, truth, agent, path, request, version } = planned;
  const told = await ask({ loop, suite, agent, runId, itemId: item.item_id, path, request }, asking);
  const judged = told.outcome === 'answered' ? await judge(told.text) : { error: told.reason };
  return {
    run_id: runId,
    job_id,
    suite,
    loop,
    reason,
    kind,
    item_id: item.item_id,
    item_hash: itemHash(item),
    truth,
    template_version: version,
    served_model: told.outcome === 'answered' ? told.servedModel : '',
    score: 'score' in judged ? judged.score : null,
    passed: 'passed' in judged ? judged.passed : null,
    error: 'error' in judged ? judged.error.slice(0, ERROR_LENGTH_MAX) : '',
    trace_id: told.traceId,
    at: clock.now(),
  };

  async function judge(text: string): Promise<{ score: number } | { passed: boolean } | { error: string }> {
    if (kind === 'maker') {
      const { item_id: id, input, tags, expected } = item;
      return tryScore(() => scorer(text, expected, { id, input, tags }));
    }
    const passed = rule && readVerdict(rule, text);
    return passed === undefined ? { error: 'no_verdict: the answer holds no verdict' } : { passed };
  }
}
