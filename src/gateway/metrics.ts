/** Counters of the gateway, in Prometheus' text format. Labels come from fixed sets, so their number is bounded. */
export class Metrics {
  readonly #requests = new Map<string, number>();
  readonly #refused = new Map<string, number>();
  readonly #unread = new Map<string, number>();

  /** A request to a provider is over; `status` 0 where the caller left before there was one. */
  request(provider: string, status: number): void {
    count(this.#requests, labels({ provider, status }));
  }

  /** The gateway itself said no. */
  refused(code: string): void {
    count(this.#refused, labels({ code }));
  }

  /** An answer passed through but was not read, or not all of it. */
  unread(reason: string): void {
    count(this.#unread, labels({ reason }));
  }

  text(now: {
    queueDepth: number;
    dropped: Readonly<Record<string, number>>;
    exported: number;
    exportsFailed: number;
    openRuns: number;
  }): string {
    const dropped = Object.entries(now.dropped).map(([reason, n]) => [labels({ reason }), n] as const);
    return [
      metric('loopscope_gateway_requests_total', 'counter', 'Requests to providers', this.#requests),
      metric(
        'loopscope_gateway_refused_total',
        'counter',
        'Requests that the gateway refused',
        this.#refused,
      ),
      metric(
        'loopscope_gateway_unread_total',
        'counter',
        'Answers passed on without being read',
        this.#unread,
      ),
      metric('loopscope_gateway_open_runs', 'gauge', 'Runs that have not ended', [['', now.openRuns]]),
      metric('loopscope_span_queue_depth', 'gauge', 'Spans not yet taken by the collector', [
        ['', now.queueDepth],
      ]),
      metric('loopscope_spans_exported_total', 'counter', 'Spans that the collector took', [
        ['', now.exported],
      ]),
      metric('loopscope_span_exports_failed_total', 'counter', 'Exports that failed and were tried again', [
        ['', now.exportsFailed],
      ]),
      metric('loopscope_spans_dropped_total', 'counter', 'Spans lost', dropped),
    ].join('');
  }
}

function count(counter: Map<string, number>, key: string): void {
  counter.set(key, (counter.get(key) ?? 0) + 1);
}

const labels = (values: Record<string, string | number>): string =>
  `{${Object.entries(values)
    .map(([name, value]) => `${name}=${JSON.stringify(String(value))}`)
    .join(',')}}`;

const metric = (
  name: string,
  type: 'counter' | 'gauge',
  help: string,
  values: Iterable<readonly [string, number]>,
): string =>
  `# HELP ${name} ${help}.\n# TYPE ${name} ${type}\n${[...values].map(([l, n]) => `${name}${l} ${n}\n`).join('')}`;
