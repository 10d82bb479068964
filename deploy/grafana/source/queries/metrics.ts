/**
 * The roles' own metrics, read every 15 seconds from their `/metrics` (src/own-metrics). A process is an instance: its
 * counts begin at 0.
 */
export type Role = 'gateway' | 'collector' | 'evals';

/** So long before the range a count is looked for that the first one in it is held against. */
const LOOK_BACK = 'INTERVAL 10 MINUTE';

/**
 * How much counters of a role grew from one reading to the next: \`at\`, \`name\`, \`Attributes\`, \`increase\`. A count that is
 * lower than before began anew.
 */
export const increases = (role: Role, ...metrics: string[]): string => `(
  SELECT at, name, Attributes, if(value >= before, value - before, value) AS increase
  FROM (
    SELECT TimeUnix AS at, MetricName AS name, Attributes, Value AS value,
      lagInFrame(Value, 1, 0.) OVER (
        PARTITION BY MetricName, ResourceAttributes['service.instance.id'], cityHash64(Attributes)
        ORDER BY TimeUnix ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS before
    FROM loopscope.otel_metrics_sum
    WHERE ${ofRole(role, metrics)} AND TimeUnix >= $__fromTime - ${LOOK_BACK} AND TimeUnix <= $__toTime
  )
  WHERE at >= $__fromTime
)`;

/** Gauges of a role at the end of each interval, an instance a row: \`time\`, \`name\`, \`Attributes\`, \`instance\`, \`value\`. */
export const levels = (role: Role, ...metrics: string[]): string => `(
  SELECT $__timeInterval(TimeUnix) AS time, any(MetricName) AS name, any(m.Attributes) AS Attributes,
    ResourceAttributes['service.instance.id'] AS instance, argMax(Value, TimeUnix) AS value
  FROM loopscope.otel_metrics_gauge AS m
  WHERE ${ofRole(role, metrics)} AND $__timeFilter(TimeUnix)
  GROUP BY time, MetricName, cityHash64(m.Attributes), instance
)`;

const ofRole = (role: Role, metrics: readonly string[]): string =>
  `ServiceName = 'loopscope-${role}' AND MetricName IN (${metrics.map((name) => `'${name}'`).join(', ')})`;
