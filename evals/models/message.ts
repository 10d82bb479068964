import type { Alert } from '../../src/store/alerts.ts';
import { evidenceOf, type ResolvedBecause } from './alert.ts';

/** What people read of a model's alert: what happened, since when, what to use instead, who says so. */
export function modelAlertText(alert: Alert): string {
  const { loop, state, started_at, evidence: stored } = alert;
  const { reason, model, provider, requested_model, retires_at, replacement, source, trace_id } =
    evidenceOf(alert);
  const of = provider === '' ? model : `${model} (${provider})`;
  if (state === 'resolved') {
    const because = stored['resolved_because'] as ResolvedBecause;
    return `Resolved: ${loop}, ${of}. ${OVER[because]} Look further: loopscope models --loop ${loop}`;
  }
  const via = requested_model === model ? '' : `, which answers for ${requested_model}`;
  const happened =
    reason === 'not_found'
      ? `Loop ${loop} asks for ${of}, and the provider has no such model, since ${started_at}.`
      : `Loop ${loop} uses ${of}${via}; it retires on ${retires_at}.`;
  return [
    happened,
    reason === 'not_found' && retires_at !== null ? `It was to retire on ${retires_at}.` : '',
    replacement === '' ? 'No replacement is named.' : `Recommended instead: ${replacement}.`,
    source === '' ? '' : `Source: ${source}.`,
    `Look further: loopscope models --loop ${loop}, loopscope trace ${trace_id}`,
  ]
    .filter((sentence) => sentence !== '')
    .join(' ');
}

const OVER: Readonly<Record<ResolvedBecause, string>> = {
  answered: 'The model answers again.',
  not_used: 'The loop does not use it any more.',
  next_notice: 'Another notice, nearer to the date, takes its place.',
  date_moved: 'The date of its retirement has changed.',
};
