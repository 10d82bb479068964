import type { Alert } from '../../src/store/alerts.ts';
import { type CheckerEvidence, evidenceOf, type PairedEvidence, type SeriesEvidence } from './alert.ts';

/** What people read of an alert that probes raised: what happened, how sure that is, and where to look. */
export function probeAlertText(alert: Alert): string {
  const { loop, state, resolved_at } = alert;
  const [first] = evidenceOf(alert).look_at;
  const further = `Look further: loopscope alerts --loop ${loop}${first ? `, loopscope trace ${first}` : ''}`;
  const said = saidOf(alert);
  return state === 'resolved'
    ? `Resolved: ${loop}, as of ${resolved_at}. It was: ${said[0]} ${further}`
    : [...said, further].join(' ');
}

function saidOf(alert: Alert): string[] {
  const evidence = evidenceOf(alert);
  if (evidence.by === 'pairs') return pairs(alert, evidence);
  return evidence.by === 'series' ? series(alert, evidence) : verdicts(alert, evidence);
}

function pairs({ loop, change_at, cause }: Alert, evidence: PairedEvidence): string[] {
  const { golden, pairs, worse, better, p_value, e_value, false_alarm } = evidence;
  const sure = p_value === null ? `e-value ${e_value!.toPrecision(2)}` : `p = ${p_value.toPrecision(2)}`;
  return [
    `Probes of loop ${loop}: since ${cause?.to || 'another model'} answers in place of ${cause?.from || 'another'} (${change_at}), its maker's golden score is ${score(golden.after)}, from ${score(golden.before)}, on the same ${pairs} items.`,
    `${worse} fell and ${better} rose (${sure}; of harmless changes at most ${percent(false_alarm)} are told of like this).`,
    'No run of the loop counts in this.',
  ];
}

function series({ loop, change_at, cause }: Alert, { golden, arl }: SeriesEvidence): string[] {
  const fell =
    golden.before === null || golden.after === null
      ? 'fell'
      : `fell from ${score(golden.before)} to ${score(golden.after)}`;
  return [
    `Probes of loop ${loop}: the golden score of its maker ${fell}, since around ${change_at}.`,
    changed(cause),
    `A false alarm of this kind comes at most once in ${count(arl)} probes on average. No run of the loop counts in this.`,
  ];
}

function verdicts({ loop, change_at, cause }: Alert, evidence: CheckerEvidence): string[] {
  const { fault, agent, verdicts, mistakes, arl, sensitivity, specificity } = evidence;
  const did =
    fault === 'passes_wrong'
      ? 'passes answers that are known to be wrong'
      : 'refuses answers that are known to be right';
  return [
    `Probes of loop ${loop}: its checker ${agent} ${did}, ${mistakes} of ${verdicts} since ${change_at}.`,
    `It refuses ${rate(specificity)} of wrong answers and passes ${rate(sensitivity)} of right ones.`,
    changed(cause),
    `A false alarm of this kind comes at most once in ${count(arl)} verdicts on average.`,
  ];
}

const changed = (cause: Alert['cause']) =>
  cause
    ? `What changed there: ${cause.dimension}, from ${cause.from || 'unknown'} to ${cause.to || 'unknown'}.`
    : 'What changed there is not known.';

const score = (n: number) => n.toFixed(2);
const count = (n: number) => Math.round(n).toLocaleString('en');
const percent = (n: number) => `${(n * 100).toFixed(0)} %`;
const rate = (known: CheckerEvidence['sensitivity']) =>
  known ? `${percent(known.rate)} (${percent(known.low)} to ${percent(known.high)})` : 'an unknown share';
