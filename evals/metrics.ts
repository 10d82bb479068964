/** Counters and gauges of the evals role, as Prometheus text. */

const FAMILIES = {
  scores_total: ['counter', 'Runs scored, by suite.'],
  score_errors_total: [
    'counter',
    'Runs whose scorer failed or whose answer was not kept, by suite and reason.',
  ],
  unmatched_runs: ['gauge', 'Recent runs that meet no golden item, by suite.'],
  runs_over_cost_cap: ['gauge', "Runs that wait since the day's cap of a suite's costs is reached."],
  jobs_total: [
    'counter',
    'Scoring jobs that ended, by suite and state; `unknown` where this process has no such suite.',
  ],
  jobs_late_total: ['counter', 'Scoring jobs that started more than a minute after they were due, by suite.'],
  alerts_total: ['counter', 'Changes of alert state, by loop, kind and state.'],
  alarms_total: ['counter', 'Alarms of detectors, told or not, by loop and kind.'],
  alarms_held: ['gauge', 'Alarms that wait until their loop stands out in the fleet.'],
  alarms_passed_total: ['counter', 'Alarms whose loop recovered before it stood out, by loop and kind.'],
  series_watched: ['gauge', 'Series of runs that detectors follow.'],
  series_restarted_total: ['counter', 'Series that were read again from their start, by reason.'],
  scores_without_run_total: ['counter', 'Scores whose run is not there, by loop.'],
  scores_invalid_total: ['counter', 'Stored scores that are no number from 0 to 1, by loop.'],
  webhook_deliveries_total: ['counter', 'Messages that a receiver took.'],
  webhook_failures_total: ['counter', 'Attempts that a receiver did not take.'],
  notifications_sent_total: ['counter', 'Changes of alert state that a receiver took, by kind of receiver.'],
  notifications_failed_total: ['counter', 'Attempts that a receiver did not take, by its kind.'],
  notifications_given_up_total: [
    'counter',
    'Changes of alert state that a receiver refused for good, by its kind.',
  ],
  notifications_silenced_total: [
    'counter',
    'Changes of alert state that a silence or maintenance holds back, by kind of receiver.',
  ],
  notification_oldest_undelivered_seconds: [
    'gauge',
    'How long the oldest change that a receiver is owed is known; 0 when it is owed none.',
  ],
  notification_reminders_total: ['counter', 'Requests that remind of what fires, by outcome.'],
  model_events_total: ['counter', 'What became known of models in use, by kind.'],
  model_polls_total: ['counter', "Readings of a provider's list of models, by provider and outcome."],
  model_alerts_withheld_total: [
    'counter',
    'Alerts of models not raised, at each look, since their loop has too many open.',
  ],
  model_calendar_failures_total: ['counter', 'Readings of model_watch.calendar that failed.'],
  model_calendar_entries: ['gauge', 'Models whose retirement is known.'],
  model_uses_cut: ['gauge', '1 while there are more models in use than are looked at at once.'],
  label_runs_considered_total: ['counter', 'Runs from which some were chosen to be labelled, by loop.'],
  label_runs_chosen_total: ['counter', 'Runs that people were asked to label, by loop.'],
  labels_received_total: ['counter', 'Labels taken by HTTP, by loop.'],
  label_requests_refused_total: ['counter', 'Requests about labels that were refused, by reason.'],
  probes_total: ['counter', 'Probes that were answered, by suite and reason.'],
  probe_errors_total: ['counter', 'Probes that brought no score and no verdict, by suite.'],
  probe_jobs_total: ['counter', 'Jobs of probes that ended, by suite, reason and state.'],
  suites_invalid: ['gauge', '1 while the suite files are wrong and an earlier reading of them is in force.'],
} as const satisfies Record<string, readonly ['counter' | 'gauge', string]>;

type Family = keyof typeof FAMILIES;
type Labels = Readonly<Record<string, string>>;

export interface Metrics {
  add(family: Family, labels: Labels, n?: number): void;
  set(family: Family, labels: Labels, value: number): void;
  render(): string;
}

const PREFIX = 'loopscope_evals_';

export function createMetrics(): Metrics {
  const values = new Map<Family, Map<string, number>>();
  const change = (family: Family, labels: Labels, next: (now: number) => number) => {
    const series = values.get(family) ?? new Map<string, number>();
    const key = renderLabels(labels);
    series.set(key, next(series.get(key) ?? 0));
    values.set(family, series);
  };
  return {
    add: (family, labels, n = 1) => change(family, labels, (now) => now + n),
    set: (family, labels, value) => change(family, labels, () => value),
    render: () =>
      Object.entries(FAMILIES)
        .map(([family, [type, help]]) => {
          const name = PREFIX + family;
          const series = values.get(family as Family) ?? new Map<string, number>();
          const lines = [...series].map(([labels, value]) => `${name}${labels} ${value}\n`);
          return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join('')}`;
        })
        .join(''),
  };
}

function renderLabels(labels: Labels): string {
  const pairs = Object.entries(labels).map(([label, value]) => `${label}="${escaped(value)}"`);
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

const escaped = (value: string) =>
  value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
