/** What dashboards share: their addresses, their data source, the colours of states and how one leads to another. */

export type DashboardName = 'fleet' | 'loop' | 'run' | 'money' | 'gateway' | 'pipeline';

/** In the order in which people go through them. */
export const TITLES: Readonly<Record<DashboardName, string>> = {
  fleet: 'Fleet',
  loop: 'Loop',
  run: 'Run',
  money: 'Money',
  gateway: 'Gateway',
  pipeline: 'Pipeline',
};

/** Stable: bookmarks, alerts and links hang on it. */
export const uidOf = (name: DashboardName): string => `loopscope-${name}`;

export const DATASOURCE = { type: 'grafana-clickhouse-datasource', uid: '$' + '{datasource}' };

/** Grafana's placeholder of a variable, with a format where there is one. */
export const placeholder = (name: string, format?: string): string =>
  `\${${name}${format === undefined ? '' : `:${format}`}}`;

/** The value of a field in the row that was clicked. */
export const field = (name: string): string => placeholder(`__data.fields["${name}"]`, 'percentencode');

/** The address of a dashboard over the same data, with variables set. */
export const addressOf = (name: DashboardName, variables: Readonly<Record<string, string>> = {}): string =>
  [
    `/d/${uidOf(name)}?${placeholder('datasource', 'queryparam')}`,
    ...Object.entries(variables).map(([variable, value]) => `var-${variable}=${value}`),
  ].join('&');

/** The same at the same time, for links in panels: those of dashboards have a setting for it. */
export const addressNow = (name: DashboardName, variables: Readonly<Record<string, string>>): string =>
  `${addressOf(name, variables)}&${placeholder('__url_time_range')}`;

export interface StateLook {
  text: string;
  color: string;
}

/** As evals/standing/loop-state.ts has them, worst first. Named colours follow Grafana's theme. */
export const STATES: Readonly<Record<string, StateLook>> = {
  silently_failing: { text: 'failing silently', color: 'dark-red' },
  failing: { text: 'failing', color: 'red' },
  suspect: { text: 'suspect', color: 'orange' },
  idle: { text: 'idle', color: 'blue' },
  unmeasured: { text: 'unmeasured', color: 'purple' },
  healthy: { text: 'healthy', color: 'green' },
};

/** Of verdicts, runs and jobs. */
export const OUTCOMES: Readonly<Record<string, StateLook>> = {
  fail: { text: 'fail', color: 'red' },
  failed: { text: 'failed', color: 'red' },
  firing: { text: 'firing', color: 'red' },
  'turned down': { text: 'turned down', color: 'orange' },
  running: { text: 'running', color: 'blue' },
  started: { text: 'started', color: 'blue' },
  pass: { text: 'pass', color: 'green' },
  ended: { text: 'ended', color: 'green' },
  done: { text: 'done', color: 'green' },
  resolved: { text: 'resolved', color: 'green' },
};

/** Of circuit breakers, by the numbers that stand for them: a graph's values are numbers. */
export const BREAKERS: Readonly<Record<string, StateLook>> = {
  0: { text: 'closed', color: 'green' },
  1: { text: 'rate limited', color: 'yellow' },
  2: { text: 'half open', color: 'orange' },
  3: { text: 'open', color: 'red' },
};
