import type { Logger } from 'pino';
import type { Clock } from '../clock.ts';
import { collectorAuthorities, fetchTrusting } from '../collector-trust.ts';
import type { Config } from '../config.ts';
import { type Family, readExposition } from './exposition.ts';

/**
 * What a role counts, as metrics in ClickHouse: what `/metrics` says is read every while and sent to the collector, so that
 * dashboards over ClickHouse show the pipeline itself. Prometheus can read the same figures beside it.
 *
 * It promises nothing: a reading that the collector does not take is lost, and the next one says more.
 */
export interface ReportOptions {
  role: string;
  /** Of the role; below it is `/metrics`. */
  url: string;
  collectorUrl: string;
  collector: Config['collector'];
  clock: Clock;
  log: Logger;
}

/** The first is early: who starts it looks at dashboards soon. */
const FIRST_MS = 2_000;
const EVERY_MS = 15_000;
const TIMEOUT_MS = 5_000;

/** Begins to report; `close` ends it at once. */
export function reportMetrics(options: ReportOptions): { close(): Promise<void> } {
  const { role, url, collectorUrl, collector, clock, log } = options;
  const closing = new AbortController();
  const send = fetchTrusting(collectorAuthorities(collector));
  const instance = clock.randomHex(8);
  const startMs = clock.now();

  const report = async () => {
    const signal = AbortSignal.any([closing.signal, AbortSignal.timeout(TIMEOUT_MS)]);
    const read = await fetch(`${url}/metrics`, { signal });
    const families = readExposition(await read.text());
    const answer = await send(`${collectorUrl}/v1/metrics`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        ...(collector.token !== undefined && { authorization: `Bearer ${collector.token}` }),
      },
      body: JSON.stringify(exportOf(families, { role, instance, startMs, nowMs: clock.now() })),
      signal,
    });
    await answer.text();
    if (!answer.ok) throw new Error(`the collector answered ${answer.status}`);
  };

  const reporting = (async () => {
    for (let pauseMs = FIRST_MS; ; pauseMs = EVERY_MS) {
      await clock.sleep(pauseMs, closing.signal).catch(() => {});
      if (closing.signal.aborted) return;
      await report().catch((error: Error) => {
        if (!closing.signal.aborted) log.debug({ role, reason: error.message }, 'own metrics were not sent');
      });
    }
  })();
  return {
    close: async () => {
      closing.abort();
      await reporting;
    },
  };
}

export interface Reading {
  role: string;
  /** Of the process: its counts begin at 0. */
  instance: string;
  startMs: number;
  nowMs: number;
}

const CUMULATIVE = 2;

/** A reading as an `ExportMetricsServiceRequest`. */
export function exportOf(families: readonly Family[], { role, instance, startMs, nowMs }: Reading): object {
  const times = { startTimeUnixNano: nanos(startMs), timeUnixNano: nanos(nowMs) };
  const metrics = families.map(({ name, isCount, samples }) => {
    const dataPoints = samples.map(({ labels, value }) => ({
      ...times,
      asDouble: value,
      attributes: Object.entries(labels).map(([key, text]) => attribute(key, text)),
    }));
    return isCount
      ? { name, sum: { aggregationTemporality: CUMULATIVE, isMonotonic: true, dataPoints } }
      : { name, gauge: { dataPoints } };
  });
  const attributes = [
    attribute('service.name', `loopscope-${role}`),
    attribute('service.instance.id', instance),
  ];
  return {
    resourceMetrics: [
      { resource: { attributes }, scopeMetrics: [{ scope: { name: 'loopscope.own' }, metrics }] },
    ],
  };
}

const attribute = (key: string, stringValue: string) => ({ key, value: { stringValue } });

const nanos = (ms: number) => `${Math.round(ms)}000000`;
