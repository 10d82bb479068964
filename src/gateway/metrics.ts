import { type MetricFamily, samplesBy } from './metric-family.ts';
import type { RecorderFigures } from './record/recorder.ts';

/** Counters of the gateway itself. Labels come from fixed sets and the settings, so their number is bounded. */
export class Metrics {
  /** By provider, then status. */
  readonly #requests = new Map<string, Map<number, number>>();
  readonly #refused = new Map<string, number>();
  readonly #unread = new Map<string, number>();

  /** A request to a provider is over; `status` 0 where the caller left before there was one. */
  request(provider: string, status: number): void {
    let statuses = this.#requests.get(provider);
    if (!statuses) {
      statuses = new Map();
      this.#requests.set(provider, statuses);
    }
    statuses.set(status, (statuses.get(status) ?? 0) + 1);
  }

  /** The gateway itself said no. */
  refused(code: string): void {
    count(this.#refused, code);
  }

  /** An answer passed through but was not read, or not all of it. */
  unread(reason: string): void {
    count(this.#unread, reason);
  }

  families(now: RecorderFigures & { openRuns: number }): MetricFamily[] {
    const { spool } = now;
    const lost = { unwritten: now.unwritten, rejected: now.rejected, ...spool.setAside };
    const requests = [...this.#requests].flatMap(([provider, statuses]) =>
      [...statuses].map(([status, value]) => ({ labels: { provider, status: String(status) }, value })),
    );
    const counter = (name: string, help: string, samples: MetricFamily['samples']): MetricFamily => ({
      name: `loopscope_gateway_${name}_total`,
      type: 'counter',
      help,
      samples,
    });
    const gauge = (name: string, help: string, value: number): MetricFamily => ({
      name: `loopscope_gateway_${name}`,
      type: 'gauge',
      help,
      samples: one(value),
    });
    return [
      counter('requests', 'Requests to providers', requests),
      counter('refused', 'Requests that the gateway refused', samplesBy('code', this.#refused)),
      counter('unread', 'Answers passed on without being read', samplesBy('reason', this.#unread)),
      gauge('open_runs', 'Runs that have not ended', now.openRuns),
      gauge('spool_bytes', 'Spans on disk that no collector has', spool.bytes),
      gauge(
        'spool_records',
        'Records that they are in, each of one call or of some that ended together',
        spool.records,
      ),
      counter('spans_delivered', 'Spans that the collector took', one(now.delivered)),
      counter('deliveries_failed', 'Deliveries that failed and were tried again', one(now.failed)),
      counter(
        'spans_lost',
        'Spans that were not written, that the collector would not take, or that were damaged on disk',
        samplesBy('reason', Object.entries(lost)),
      ),
    ];
  }
}

const one = (value: number): MetricFamily['samples'] => [{ labels: {}, value }];

function count(counter: Map<string, number>, key: string): void {
  counter.set(key, (counter.get(key) ?? 0) + 1);
}
