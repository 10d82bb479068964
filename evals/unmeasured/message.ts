import type { Alert } from '../../src/store/alerts.ts';
import { evidenceOf, type ResolvedBecause } from './alert.ts';

/** What people read of a suite that gives no scores: what is amiss, since when, what it means, what to do. */
export function unmeasuredAlertText(alert: Alert): string {
  const { loop, state, change_at, evidence: stored } = alert;
  const { suite, dataset, reason, runs_waiting, jobs_failed, message, errors, last_scored_at } =
    evidenceOf(alert);
  if (state === 'resolved') {
    const how = OVER[stored['resolved_because'] as ResolvedBecause];
    return `Resolved: ${loop}, suite ${suite}. ${how} It gave no scores since ${change_at}. Look further: loopscope eval list`;
  }
  const happened = {
    not_run: `no job of suite ${suite} has come to its end since ${change_at}`,
    jobs_failed: `every job of suite ${suite} has failed since ${change_at}, ${jobs_failed} in a row: ${message}`,
    scores_failed: `every score of suite ${suite} has been an error since ${change_at}, ${errors} in a row`,
  }[reason];
  return [
    `Loop ${loop} is not measured: ${happened.replace(/\.+$/, '')}.`,
    runs_waiting > 0 ? `Runs that wait for a score: ${runs_waiting}.` : '',
    last_scored_at === null ? 'No run ever got one.' : `The last score is of ${last_scored_at}.`,
    'Until scores come, a failure of the loop would not be noticed.',
    {
      not_run: 'Check that an evals process runs, that Redis answers where it has redis_url, and its log.',
      jobs_failed: `Look further: loopscope eval run ${suite}, loopscope golden list (dataset ${dataset})`,
      scores_failed: `Look further: loopscope eval run ${suite}, loopscope eval list`,
    }[reason],
  ]
    .filter((sentence) => sentence !== '')
    .join(' ');
}

const OVER: Readonly<Record<ResolvedBecause, string>> = {
  measured: 'Its jobs do their work again.',
  removed: 'There is no such suite any more.',
};
