/**
 * The roles' own metrics, read every 15 seconds from their `/metrics` (src/own-metrics). A process is an instance: its
 * counts begin at 0.
 */
export type Role = 'gateway' | 'collector' | 'evals';

/** So long before the range a count is looked for that the first one in it is held against. */
const LOOK_BACK = 'INTERVAL 10 MINUTE';

/** From this distance of two points on, five minutes of readings that are added up already are as good as each of them. */
const COARSE_S = 300;

/**
 * How much counters of a role grew from one reading to the next: `at`, `name`, `Attributes`, `increase`. A count that is
 * lower than before began anew. Of the two sources the one that does not apply reads nothing.
 */
export const increases = (role: Role, ...metrics: string[]): string => `(
  SELECT point.1 AS at, name, Attributes, point.2 AS increase
  FROM (
    SELECT name, any(r.Attributes) AS Attributes,
      arraySort(groupArray((r.at, r.value))) AS readings,
      arrayMap(
        (reading, before) -> (reading.1, if(reading.2 >= before, reading.2 - before, reading.2)),
        readings, arrayPopBack(arrayPushFront(arrayMap(reading -> reading.2, readings), 0.))) AS points
    FROM (
      SELECT TimeUnix AS at, MetricName AS name, Attributes, ResourceAttributes['service.instance.id'] AS instance,
        cityHash64(Attributes) AS series, Value AS value
      FROM loopscope.otel_metrics_sum
      WHERE $__interval_s < ${COARSE_S} AND ServiceName = '${serviceOf(role)}' AND MetricName IN (${listOf(metrics)})
        AND TimeUnix >= $__fromTime - ${LOOK_BACK} AND TimeUnix <= $__toTime
      UNION ALL
      SELECT at, name, CAST(attributes, 'Map(LowCardinality(String), String)') AS Attributes, instance, series,
        toFloat64(c.value) AS value
      FROM loopscope.own_counts_by_5_minutes AS c
      WHERE $__interval_s >= ${COARSE_S} AND service = '${serviceOf(role)}' AND name IN (${listOf(metrics)})
        AND at >= $__fromTime - ${LOOK_BACK} AND at <= $__toTime
    ) AS r
    GROUP BY name, instance, series
  )
  ARRAY JOIN points AS point
  WHERE at >= $__fromTime
)`;

/** Gauges of a role at the end of each interval, an instance a row: `time`, `name`, `Attributes`, `instance`, `value`. */
export const levels = (role: Role, ...metrics: string[]): string => `(
  SELECT $__timeInterval(TimeUnix) AS time, any(MetricName) AS name, any(m.Attributes) AS Attributes,
    ResourceAttributes['service.instance.id'] AS instance, argMax(Value, TimeUnix) AS value
  FROM loopscope.otel_metrics_gauge AS m
  WHERE $__interval_s < ${COARSE_S} AND ServiceName = '${serviceOf(role)}' AND MetricName IN (${listOf(metrics)})
    AND $__timeFilter(TimeUnix)
  GROUP BY time, MetricName, cityHash64(m.Attributes), instance
  UNION ALL
  SELECT $__timeInterval(at) AS time, g.name AS name, CAST(any(attributes), 'Map(LowCardinality(String), String)') AS Attributes, instance, argMaxMerge(g.value) AS value
  FROM loopscope.own_gauges_by_5_minutes AS g
  WHERE $__interval_s >= ${COARSE_S} AND service = '${serviceOf(role)}' AND name IN (${listOf(metrics)}) AND $__timeFilter(at)
  GROUP BY time, name, series, instance
)`;

const serviceOf = (role: Role): string => `loopscope-${role}`;

const listOf = (metrics: readonly string[]): string => metrics.map((name) => `'${name}'`).join(', ');
