import { createHmac } from 'node:crypto';
import type { Alert } from '../src/store/alerts.ts';
import { MODEL_ALERT_KIND } from './models/alert.ts';
import { modelAlertText } from './models/message.ts';

/** What a receiver of alerts is sent: the document, the sentence in it, and the signature over both. */
export function webhookBody(alert: Alert): string {
  const { loop, kind, state } = alert;
  const text = kind === MODEL_ALERT_KIND ? modelAlertText(alert) : alertText(alert);
  return JSON.stringify({ alert, loop, kind, state, text });
}

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
  state,
  change_at,
  change_at_run,
  resolved_at,
  cause,
  evidence,
}: Alert): string {
  const golden = evidence['golden'] as BeforeAfter | undefined;
  if (state === 'resolved') {
    const how =
      evidence['withdrawn'] === true
        ? 'Scores that came in late no longer support the alarm.'
        : `Its golden score has recovered${resolved_at ? ` as of ${resolved_at}` : ''}.`;
    return `Resolved: ${loop}. ${how} It had fallen ${change(golden, score)}since ${change_at}. Look further: loopscope runs --loop ${loop}`;
  }
  const verdicts = change(evidence['checker_pass_rate'] as BeforeAfter | undefined, percent);
  const checked = verdicts && `while its checker passes ${verdicts}of its runs`;
  return [
    `${`Loop ${loop} no longer does its work: its golden score fell ${change(golden, score)}${checked}`.trimEnd()}.`,
    `It began around ${change_at}, after ${change_at_run} runs.`,
    `A false alarm of this kind comes at most once in ${count(evidence['arl'])} scored runs on average (e-value ${count(evidence['e_value'])}).`,
    whatChanged(cause, evidence['candidates']),
    `Look further: loopscope alerts --loop ${loop}`,
  ].join(' ');
}

type Cause = NonNullable<Alert['cause']>;

function whatChanged(cause: Alert['cause'], candidates: unknown): string {
  if (cause) return `What changed there: ${named(cause)}.`;
  // Several changes at once are no cause, but far from none.
  const seen = Array.isArray(candidates) ? (candidates as Cause[]).map(named) : [];
  return seen.length > 0
    ? `Which of these changes it was is not known: ${seen.join('; ')}.`
    : 'No change of model, prompt, tools or checker was seen there.';
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
