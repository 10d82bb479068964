import { among, chosen } from './words.ts';

/** The values of dashboards' variables. */

export const loop = `
SELECT DISTINCT loop FROM (
  SELECT loop FROM loopscope.run_parts GROUP BY loop
  UNION ALL
  SELECT loop FROM loopscope.registry_versions GROUP BY loop
)
ORDER BY loop
LIMIT 10000`;

export const agent = `
SELECT DISTINCT agent FROM loopscope.calls_by_minute
WHERE $__timeFilter(minute) AND ${among('loop')} AND agent != ''
ORDER BY agent
LIMIT 1000`;

export const requestModel = `
SELECT DISTINCT request_model FROM loopscope.latency_by_minute
WHERE $__timeFilter(minute) AND request_model != ''
ORDER BY request_model
LIMIT 1000`;

export const servedModel = `
SELECT DISTINCT served_model FROM loopscope.calls_by_minute
WHERE $__timeFilter(minute) AND ${among('loop')} AND served_model != ''
ORDER BY served_model
LIMIT 1000`;

export const run = `
SELECT run_id FROM loopscope.runs
WHERE loop = ${chosen('loop')} AND $__timeFilter_ms(started_at)
ORDER BY started_at DESC
LIMIT 500`;
