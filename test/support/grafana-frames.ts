import { FORMAT, type PanelQuery } from './grafana-queries.ts';

/**
 * Whether a result is what a panel can show, by the rules of Grafana's SQL data sources: a table takes any columns whose
 * types the ClickHouse data source reads, a graph needs rows in the order of a time, numbers, and strings that tell its series
 * apart; a trace has columns of its own.
 */
export interface Result {
  meta: { name: string; type: string }[];
  data: Record<string, unknown>[];
}

/** Without what they are wrapped in. */
const inner = (type: string) => type.replaceAll(/LowCardinality\(|Nullable\(|\)(?!')/g, '');
const isTime = (type: string) => /^DateTime(64)?\b/.test(type) && !type.startsWith('Nullable');
const isNumber = (type: string) => /^(U?Int(8|16|32|64)|Float(32|64))$/.test(inner(type));
const isString = (type: string) => inner(type) === 'String';
const isReadable = (type: string) =>
  isNumber(type) || isString(type) || /^(Nullable\()?(DateTime|Date)/.test(type);

/** Name and type of a trace's columns, as Grafana's trace view has them. */
const TRACE: Readonly<Record<string, RegExp>> = {
  traceID: /^String$/,
  spanID: /^String$/,
  parentSpanID: /^String$/,
  serviceName: /^(LowCardinality\()?String\)?$/,
  operationName: /^(LowCardinality\()?String\)?$/,
  startTime: /^Float64$/,
  duration: /^Float64$/,
  tags: /^Array\(Map\(String, String\)\)$/,
  serviceTags: /^Array\(Map\(String, String\)\)$/,
  statusCode: /^UInt8$/,
  kind: /^(LowCardinality\()?String\)?$/,
  statusMessage: /^String$/,
  logs: /^Array\(Tuple\(name String, timestamp String, fields Array\(Map\(String, String\)\)\)\)$/,
};

/** What is wrong with a result; nothing when its panel can show it. */
export function frameComplaints(query: Pick<PanelQuery, 'format'>, { meta, data }: Result): string[] {
  if (data.length === 0) return ['no rows came'];
  if (query.format === FORMAT.trace) return traceComplaints(meta);
  if (query.format === FORMAT.timeSeries) return seriesComplaints(meta, data);
  const unread = meta.filter(({ type }) => !isReadable(type));
  return unread.map(({ name, type }) => `the data source does not read ${name}, a ${type}`);
}

function traceComplaints(meta: Result['meta']): string[] {
  const missing = Object.keys(TRACE).filter((name) => !meta.some((column) => column.name === name));
  const wrong = meta.filter(({ name, type }) => !TRACE[name]?.test(type));
  return [
    ...missing.map((name) => `no column ${name}`),
    ...wrong.map(({ name, type }) => `${name} is a ${type}`),
  ];
}

function seriesComplaints(meta: Result['meta'], data: Result['data']): string[] {
  const [time, ...others] = meta;
  if (!time || !isTime(time.type)) return [`the first column is ${time?.name}, a ${time?.type}, and no time`];
  const labels = others.filter(({ type }) => isString(type));
  const numbers = others.filter(({ type }) => isNumber(type));
  if (numbers.length === 0) return ['no column of numbers'];
  const complaints = others
    .filter((column) => !labels.includes(column) && !numbers.includes(column))
    .map(({ name, type }) => `${name}, a ${type}, is neither number nor string`);
  const points = new Set<string>();
  let before = '';
  for (const row of data) {
    const at = String(row[time.name]);
    if (at < before) return [...complaints, `times go back at ${at}`];
    before = at;
    const point = JSON.stringify([at, ...labels.map(({ name }) => row[name])]);
    if (points.has(point)) return [...complaints, `two rows for the point ${point}`];
    points.add(point);
  }
  if (data.every((row) => numbers.every(({ name }) => row[name] === null)))
    complaints.push('no number in any row');
  return complaints;
}
