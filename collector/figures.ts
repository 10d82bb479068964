import type { Signal } from '../src/span/batch.ts';

const SECONDS_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** What a signal's requests consist of. */
const ITEMS = { traces: 'spans', logs: 'log_records', metrics: 'data_points' } as const;

/** The collector's own figures, for Prometheus. */
export class CollectorMetrics {
  private readonly counters = new Map<string, number>();
  private readonly buckets = new Array<number>(SECONDS_BUCKETS.length).fill(0);
  private insertSeconds = 0;
  private inserts = 0;

  constructor() {
    // A rate needs a first value, so what is waited for is there from the start.
    for (const name of ['received_spans_total', 'stored_spans_total']) this.count(name, 0);
  }

  request(status: number): void {
    this.count('requests_total', 1, `status="${status}"`);
  }

  received(signal: Signal, items: number): void {
    this.count(`received_${ITEMS[signal]}_total`, items);
  }

  /** Items in the spool, for ClickHouse to be given; `repeated` were there already and are not given again. */
  acknowledged(signal: Signal, items: number, repeated: number): void {
    this.count(`acknowledged_${ITEMS[signal]}_total`, items);
    this.count(`repeated_${ITEMS[signal]}_total`, repeated);
  }

  /** Spans in ClickHouse, those that events of coding agents stand for among them. */
  stored(spans: number): void {
    this.count('stored_spans_total', spans);
  }

  /** Items that were not taken for a reason of their own. */
  rejected(signal: Signal, reason: string, items: number): void {
    this.count(`rejected_${ITEMS[signal]}_total`, items, `reason="${reason}"`);
  }

  /** Items whose request was refused; their sender has them still. */
  refused(signal: Signal, reason: string, items: number): void {
    this.count(`refused_${ITEMS[signal]}_total`, items, `reason="${reason}"`);
  }

  cut(what: string, times: number): void {
    this.count('cut_total', times, `what="${what}"`);
  }

  inserted(table: string, rows: number, seconds: number): void {
    this.count('inserted_rows_total', rows, `table="${table}"`);
    this.inserts++;
    this.insertSeconds += seconds;
    const bucket = SECONDS_BUCKETS.findIndex((limit) => seconds <= limit);
    if (bucket >= 0) this.buckets[bucket]!++;
  }

  /** Prometheus' text format. `figures` are read now, and not counted here: what ends in `_total` is a counter. */
  text(figures: Readonly<Record<string, number>>): string {
    const lines: string[] = [];
    let typed = '';
    for (const [series, value] of [...this.counters].sort(([a], [b]) => (a < b ? -1 : 1))) {
      const name = series.split('{', 1)[0]!;
      if (name !== typed) lines.push(`# TYPE ${name} counter`);
      typed = name;
      lines.push(`${series} ${value}`);
    }
    const insert = `${PREFIX}insert_seconds`;
    lines.push(`# TYPE ${insert} histogram`);
    let below = 0;
    SECONDS_BUCKETS.forEach((limit, i) => {
      below += this.buckets[i]!;
      lines.push(`${insert}_bucket{le="${limit}"} ${below}`);
    });
    lines.push(`${insert}_bucket{le="+Inf"} ${this.inserts}`);
    lines.push(`${insert}_sum ${this.insertSeconds}`, `${insert}_count ${this.inserts}`);
    let family = '';
    for (const [series, value] of Object.entries(figures)) {
      const name = `${PREFIX}${series.split('{', 1)[0]}`;
      if (name !== family) lines.push(`# TYPE ${name} ${name.endsWith('_total') ? 'counter' : 'gauge'}`);
      family = name;
      lines.push(`${PREFIX}${series} ${value}`);
    }
    return `${lines.join('\n')}\n`;
  }

  private count(name: string, by: number, label = ''): void {
    const series = `${PREFIX}${name}${label && `{${label}}`}`;
    this.counters.set(series, (this.counters.get(series) ?? 0) + by);
  }
}

const PREFIX = 'loopscope_collector_';
