import type { Alarm } from '../../evals/detect/report.ts';
import type { Alert } from '../store/alerts.ts';
import { count, decimal, percent, time, UNKNOWN } from './format.ts';

/** What people read of an alarm. What an alert's evidence does not have is left out. */
type Facts = Pick<Alarm, 'change_at' | 'change_at_run' | 'cause'> &
  Partial<Pick<Alarm, 'at' | 'at_run' | 'e_value' | 'checker_pass_rate' | 'golden'>> & {
    evidence: Partial<Alarm['evidence']>;
  };

const LABEL_WIDTH = 11;

/** A stored alert's facts: its evidence is what the evaluator wrote of the alarm. */
export function factsOf({ change_at, change_at_run, cause, started_at, evidence }: Alert): Facts {
  const written = evidence as Partial<Facts> & Facts['evidence'];
  const { at_run, e_value, checker_pass_rate, golden } = written;
  const known = cause as Alarm['cause'];
  return {
    change_at,
    change_at_run,
    cause: known,
    at: started_at,
    at_run,
    e_value,
    checker_pass_rate,
    golden,
    evidence: written,
  };
}

/** What fell, since when, why, how sure, and where to look: a line each. */
export function alarmText(loop: string, facts: Facts): string[] {
  const { golden, checker_pass_rate, evidence } = facts;
  const lines: [string, string | undefined][] = [
    ['measured', measured(evidence)],
    ['golden', golden && `${decimal(golden.before)} → ${decimal(golden.after)}${sample(evidence.scored)}`],
    [
      'checker',
      checker_pass_rate &&
        `passes ${percent(checker_pass_rate.before)} → ${percent(checker_pass_rate.after)} of runs`,
    ],
    ['also', also(evidence.joined)],
    ['began', began(facts)],
    ['caught', caught(facts)],
    ['cause', cause(facts)],
    ['sure', sure(facts)],
    ['look at', lookAt(loop, evidence.look_at)],
  ];
  return lines.flatMap(([label, text]) =>
    text === undefined ? [] : [`${label.padEnd(LABEL_WIDTH)}${text}`],
  );
}

/** What an alarm of another kind than the golden score's stands on. */
const MEASURED: Partial<Record<Alarm['evidence']['measure'], string>> = {
  catches: 'of wrong answers the checker failed',
  accepts: 'of right answers the checker passed',
  effects: 'of runs had an effect',
  answers: 'of pairs of runs answered differently',
};

function measured({ measure, measured: means }: Facts['evidence']): string | undefined {
  const what = measure && MEASURED[measure];
  if (!what || !means) return undefined;
  const { before, after } = means;
  return `${percent(before.mean)} → ${percent(after.mean)} ${what} (${count(before.n)} before, ${count(after.n)} since)`;
}

const also = (joined: Facts['evidence']['joined']): string | undefined =>
  joined?.map(({ kind, at_run }) => `${kind}, seen after ${count(at_run + 1)} runs`).join('; ');

const sample = (scored: Facts['evidence']['scored']) =>
  scored ? ` (mean of ${count(scored.before)} scored runs before, ${count(scored.after)} since)` : '';

const instant = (at: string) => `${time(Date.parse(at))} UTC`;

function began({ change_at, change_at_run, evidence }: Facts): string {
  const [first, last] = evidence.change_at_run_interval ?? [];
  const within = first === undefined || first === last ? '' : ` (the scores alone say ${first} to ${last})`;
  return `${instant(change_at)}, after ${count(change_at_run)} runs${within}`;
}

function caught({ at, at_run, change_at_run }: Facts): string | undefined {
  if (at === undefined || at_run === undefined) return undefined;
  return `${instant(at)}, ${count(at_run - change_at_run + 1)} runs later`;
}

function cause({ cause, evidence }: Facts): string {
  if (cause) return `${cause.dimension}: ${cause.from || UNKNOWN} → ${cause.to || UNKNOWN}`;
  const candidates = (evidence.candidates ?? []).map(
    (c) => `${c.dimension} ${c.from || UNKNOWN} → ${c.to || UNKNOWN}`,
  );
  return candidates.length === 0
    ? 'not known: model, prompt, tools, checker, golden data and tasks stayed as they were'
    : `not known; what changed around then: ${candidates.join('; ')}`;
}

function sure({ e_value, evidence: { threshold, arl } }: Facts): string | undefined {
  if (e_value === undefined || threshold === undefined || arl === undefined) return undefined;
  return `e-value ${count(Math.round(e_value))} (alarm at ${count(Math.round(threshold))}): at most one false alarm in ${count(arl)} runs on average`;
}

function lookAt(loop: string, runs: readonly string[] | undefined): string | undefined {
  const [first, ...more] = runs ?? [];
  if (first === undefined) return undefined;
  return `loopscope trace ${first} --loop ${loop}${more.length > 0 ? `, and ${more.length} more like it` : ''}`;
}
