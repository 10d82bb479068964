/** Counters and gauges of the evals role, as Prometheus text. */

const FAMILIES = {
  scores_total: ['counter', 'Runs scored, by suite.'],
  score_errors_total: [
    'counter',
    'Runs whose scorer failed or whose answer was not kept, by suite and reason.',
  ],
  unmatched_runs: ['gauge', 'Recent runs that meet no golden item, by suite.'],
  jobs_total: ['counter', 'Scoring jobs that ended, by suite and state.'],
  jobs_late_total: ['counter', 'Scoring jobs that started more than a minute after they were due, by suite.'],
  alerts_total: ['counter', 'Changes of alert state, by loop, kind and state.'],
  webhook_deliveries_total: ['counter', 'Messages that a receiver took.'],
  webhook_failures_total: ['counter', 'Attempts that a receiver did not take.'],
  model_events_total: ['counter', 'What became known of models in use, by kind.'],
  model_polls_total: ['counter', "Readings of a provider's list of models, by provider and outcome."],
  model_alerts_withheld_total: [
    'counter',
    'Alerts of models not raised, at each look, since their loop has too many open.',
  ],
  model_calendar_failures_total: ['counter', 'Readings of model_watch.calendar that failed.'],
  model_calendar_entries: ['gauge', 'Models whose retirement is known.'],
  model_uses_cut: ['gauge', '1 while there are more models in use than are looked at at once.'],
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
