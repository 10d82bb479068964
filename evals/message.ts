import { createHmac } from 'node:crypto';
import type { Alert } from '../src/store/alerts.ts';
import type { Accepted } from './alerts.ts';
import { MODEL_ALERT_KIND } from './models/alert.ts';
import { modelAlertText } from './models/message.ts';
import { isProbeAlert } from './probe/alert.ts';
import { probeAlertText } from './probe/message.ts';
import { UNMEASURED_ALERT_KIND } from './unmeasured/alert.ts';
import { unmeasuredAlertText } from './unmeasured/message.ts';

/** What a webhook is sent: the document, and the sentences in it. */
export function webhookBody(alert: Alert): string {
  const { loop, kind, state } = alert;
  return JSON.stringify({ alert, loop, kind, state, text: textOf(alert) });
}

/** An alert of any kind in the words of people. */
export function textOf(alert: Alert): string {
  if (alert.kind === MODEL_ALERT_KIND) return modelAlertText(alert);
  if (alert.kind === UNMEASURED_ALERT_KIND) return unmeasuredAlertText(alert);
  return isProbeAlert(alert) ? probeAlertText(alert) : alertText(alert);
}

/** The same, a sentence each. There is at least one. */
export const alertSentences = (alert: Alert): string[] => textOf(alert).split(/(?<=[.)]) (?=\p{Lu})/u);

/** What alerts of a kind claim of so many loops. */
export const claimOf = (kind: string, loops: number): string =>
  (CLAIMS[kind] ?? CLAIMS['golden_drop']!)[loops === 1 ? 0 : 1];

const CLAIMS: Readonly<Record<string, readonly [one: string, many: string]>> = {
  golden_drop: ['no longer does its work', 'no longer do their work'],
  checker_drift: [
    'has a checker that no longer tells right from wrong as it did',
    'have a checker that no longer tells right from wrong as it did',
  ],
  no_effect: ['no longer changes anything', 'no longer change anything'],
  output_collapse: ['answers the same whatever it is asked', 'answer the same whatever they are asked'],
  [MODEL_ALERT_KIND]: ['uses a model that retires or is gone', 'use a model that retires or is gone'],
  [UNMEASURED_ALERT_KIND]: ['is not measured', 'are not measured'],
};

/** `v1=` and the hex HMAC-SHA-256 over the time of sending and the body, so that neither can be exchanged. */
export const signature = (secret: string, timestamp: string, body: string): string =>
  `v1=${createHmac('sha256', secret).update(`${timestamp}.${body}`).digest('hex')}`;

interface BeforeAfter {
  before: number | null;
  after: number | null;
}

/** What happened, since when, how sure, what changed, and the one command to look further. */
export function alertText({
  loop,
  kind,
  state,
  change_at,
  change_at_run,
  resolved_at,
  cause,
  evidence,
}: Alert): string {
  const fell = FELL[kind as keyof typeof FELL] ?? FELL.golden_drop;
  if (state === 'resolved') {
    const accepted = evidence['accepted'] as Accepted | undefined;
    const how = accepted
      ? `${accepted.by} accepted it as the new normal: ${accepted.reason}.`
      : evidence['withdrawn'] === true
        ? 'What came in late no longer supports the alarm.'
        : `It has recovered${resolved_at ? ` as of ${resolved_at}` : ''}.`;
    return `Resolved: ${loop}. ${how} Since ${change_at} ${fell(evidence)}. Look further: loopscope runs --loop ${loop}`;
  }
  return [
    `Loop ${loop} ${claimOf(kind, 1)}: ${fell(evidence)}.`,
    ...alsoFell(evidence['joined']),
    `It began around ${change_at}, after ${change_at_run} runs.`,
    `A false alarm comes at most once in ${count(evidence['arl'])} runs of a loop on average (e-value ${count(evidence['e_value'])}).`,
    whatChanged(cause, evidence['candidates']),
    `Look further: loopscope alerts --loop ${loop}`,
  ].join(' ');
}

type Evidence = Alert['evidence'];

/** What each kind of alert of detectors rests on. */
const FELL = {
  golden_drop: (evidence: Evidence) => {
    const golden = change(evidence['golden'] as BeforeAfter | undefined, score);
    const verdicts = change(evidence['checker_pass_rate'] as BeforeAfter | undefined, percent);
    const checked = verdicts && `while its checker passes ${verdicts}of its runs`;
    return `its golden score fell ${golden}${checked}`.trimEnd();
  },
  checker_drift: (evidence: Evidence) =>
    evidence['measure'] === 'accepts'
      ? `the share of right answers that it passes fell ${measured(evidence)}`.trimEnd()
      : `the share of wrong answers that it fails fell ${measured(evidence)}`.trimEnd(),
  no_effect: (evidence: Evidence) =>
    `the share of its runs that had an effect fell ${measured(evidence)}`.trimEnd(),
  output_collapse: (evidence: Evidence) =>
    `the share of pairs of runs that answer differently fell ${measured(evidence)}`.trimEnd(),
};

function measured(evidence: Evidence): string {
  const means = evidence['measured'] as Record<'before' | 'after', { mean: number | null }> | undefined;
  return means ? change({ before: means.before.mean, after: means.after.mean }, percent) : '';
}

/** Alarms of other kinds that the same change raised. */
function alsoFell(joined: unknown): string[] {
  const kinds = Array.isArray(joined)
    ? [...new Set((joined as { kind: string }[]).map(({ kind }) => kind))]
    : [];
  return kinds.length > 0 ? [`The same change raised ${kinds.join(', ')}.`] : [];
}

type Cause = NonNullable<Alert['cause']>;

function whatChanged(cause: Alert['cause'], candidates: unknown): string {
  if (cause) return `What changed there: ${named(cause)}.`;
  // Several changes at once are no cause, but far from none.
  const seen = Array.isArray(candidates) ? (candidates as Cause[]).map(named) : [];
  return seen.length > 0
    ? `Which of these changes it was is not known: ${seen.join('; ')}.`
    : 'No change of model, prompt, tools, checker, golden data or tasks was seen there.';
}

const named = ({ dimension, from, to }: Cause) =>
  `${dimension}, from ${from || 'unknown'} to ${to || 'unknown'}`;

const change = (figures: BeforeAfter | undefined, show: (n: number) => string): string =>
  figures && figures.before !== null && figures.after !== null
    ? `from ${show(figures.before)} to ${show(figures.after)} `
    : '';

const score = (n: number) => n.toFixed(2);
const percent = (n: number) => `${(n * 100).toFixed(1)} %`;
const count = (n: unknown) => (typeof n === 'number' ? Math.round(n).toLocaleString('en') : 'unknown');
