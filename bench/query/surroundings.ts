import type { Store } from '../../src/store/client.ts';
import { DAYS } from './fill.ts';

/**
 * What else dashboards read, of which there is as much as there are loops and days, however many spans: the registry, alerts,
 * model events, the detectors' history, jobs of suites, and the roles' own metrics. Of those there is a reading every 15
 * seconds; from the third day back only the last of each five minutes is made, as nothing reads the others.
 */
export async function fillSurroundings(
  store: Store,
  { loops, nowMs }: { loops: number; nowMs: number },
): Promise<void> {
  const { database: db } = store;
  const params = { loops, now: new Date(nowMs).toISOString().replace('Z', '') };
  for (const [into, select] of TABLES) await store.command(`INSERT INTO ${db}.${into} ${select}`, params);
  // A day at a time, as one insert may not reach into more than a hundred partitions.
  for (let day = 0; day < DAYS; day++) {
    const step = day < 2 ? 15 : 300;
    for (const [table, names, series] of OWN_METRICS)
      await store.command(
        `INSERT INTO ${db}.${table} (ResourceAttributes, ServiceName, MetricName, Attributes, TimeUnix, Value)
         SELECT map('service.name', service, 'service.instance.id', concat(service, '-1')) AS ResourceAttributes,
           concat('loopscope-', extract(name, '^loopscope_([a-z]+)_')) AS service, name,
           map('provider', concat('provider-', toString(s)), 'target', concat('provider-', toString(s)), 'reason', 'none',
             'table', ['otel_traces', 'messages', 'otel_logs'][s % 3 + 1], 'status', ['200', '503'][s % 2 + 1],
             'outcome', ['answered', 'retried'][s % 2 + 1], 'state', ['closed', 'open'][s % 2 + 1], 'le', ['1', '+Inf'][s % 2 + 1]) AS Attributes,
           toDateTime({now:DateTime64(3, 'UTC')} - INTERVAL {day:UInt32} DAY - INTERVAL (t * {step:UInt32}) SECOND, 'UTC') AS TimeUnix,
           ${table === 'otel_metrics_sum' ? '(86400. - t * {step:UInt32}) * (s + 1)' : 'toFloat64(sipHash64(t, s) % 100)'} AS Value
         FROM (SELECT arrayJoin({names:Array(String)}) AS name, arrayJoin(range({series:UInt32})) AS s, arrayJoin(range(intDiv(86400, {step:UInt32}))) AS t)`,
        { now: params.now, day, names, series, step },
      );
  }
}

const LOOP_NAMES = `(SELECT concat('loop-', leftPad(toString(number), 3, '0')) AS loop, number AS l FROM numbers({loops:UInt32}))`;
const NOW = `{now:DateTime64(3, 'UTC')}`;

const TABLES: readonly (readonly [into: string, select: string])[] = [
  [
    'registry_versions (loop, version, content, seen_at)',
    `SELECT loop, concat('v', toString(v)), concat('{"loop":"', loop, '","owner":"team-', toString(l % 12), '","schedule":"0 * * * *"}'),
       ${NOW} - INTERVAL (${DAYS} - v * 8) DAY
     FROM ${LOOP_NAMES} ARRAY JOIN [0, 1, 2] AS v`,
  ],
  [
    // One loop in twenty fell half-way through the month; each loop had an alarm that is over.
    'alerts (alert_id, loop, kind, state, at, started_at, change_at, change_at_run, cause, evidence)',
    `SELECT concat(loop, '/', what.1), loop, what.1, what.2, ${NOW} - INTERVAL 14 DAY AS started_at, started_at,
       started_at - INTERVAL 1 DAY, 100, '{"dimension":"model","from":"a","to":"b"}',
       '{"golden":{"before":0.9,"after":0.4},"e_value":2000000,"look_at":["run-00000001"]}'
     FROM ${LOOP_NAMES} ARRAY JOIN [('golden_drop', 'firing'), ('no_effect', 'firing'), ('no_effect', 'resolved')] AS what
     WHERE what.1 = 'no_effect' OR l % 20 = 0`,
  ],
  [
    'model_events (event_id, at, kind, loop, provider, model, requested_model, served_model, previous_model)',
    `SELECT concat(loop, toString(e)), ${NOW} - INTERVAL (e * 5) DAY, 'served_model_changed', loop, 'openai', 'b', 'gpt-4.1', 'b', 'a'
     FROM ${LOOP_NAMES} ARRAY JOIN range(6) AS e`,
  ],
  [
    // A look every hour that found something new.
    'detector_history (loop, stream, at, is_scored, phase, e_value, threshold, regime)',
    `SELECT loop, concat(loop, '-golden'), ${NOW} - INTERVAL t HOUR, 1, if(l % 20 = 0, 'alarmed', 'watching'), 10, 1e6, 200
     FROM ${LOOP_NAMES} ARRAY JOIN range(${DAYS * 24}) AS t`,
  ],
  [
    // A job of each suite every half hour.
    'eval_jobs (suite, due_at, state, at, scored, errors, unmatched, message)',
    `SELECT concat(loop, '-golden'), ${NOW} - INTERVAL (t * 30) MINUTE AS due, state, due + INTERVAL if(state = 'done', 20, 2) SECOND, 1, 0, 0, ''
     FROM ${LOOP_NAMES} ARRAY JOIN range(${DAYS * 48}) AS t ARRAY JOIN ['started', 'done'] AS state`,
  ],
];

/** Names of metrics, and how many series each has. */
const OWN_METRICS: readonly (readonly [table: string, names: readonly string[], series: number])[] = [
  [
    'otel_metrics_sum',
    [
      'loopscope_gateway_requests_total',
      'loopscope_gateway_attempts_total',
      'loopscope_collector_inserted_rows_total',
      'loopscope_collector_requests_total',
    ],
    6,
  ],
  [
    'otel_metrics_sum',
    [
      ...['received_spans', 'received_log_records', 'received_data_points', 'stored_spans'].map(
        (name) => `loopscope_collector_${name}_total`,
      ),
      'loopscope_gateway_spans_delivered_total',
      'loopscope_gateway_spans_lost_total',
    ],
    1,
  ],
  [
    'otel_metrics_sum',
    ['bucket', 'sum', 'count'].map((part) => `loopscope_collector_insert_seconds_${part}`),
    2,
  ],
  ['otel_metrics_gauge', ['loopscope_gateway_breaker_state'], 6],
  [
    'otel_metrics_gauge',
    [
      ...['spool_bytes', 'spool_records', 'spool_oldest_unsent_seconds', 'pending_bytes'].map(
        (name) => `loopscope_collector_${name}`,
      ),
      'loopscope_gateway_spool_bytes',
      'loopscope_gateway_open_runs',
      'loopscope_evals_series_watched',
      'loopscope_evals_alarms_held',
    ],
    1,
  ],
];
