/**
 * The macros of Grafana's ClickHouse data source (4.20), as its backend expands them: the last step before a query is
 * sent. What the front end does before that is in grafana-variables.ts.
 *
 * Documented in https://github.com/grafana/clickhouse-datasource, pkg/macros. The macros that rewrite a whole statement
 * (`$__columns` and its like) are not here: a dashboard that used one would be refused as one with an unknown macro.
 */
export interface QueryTime {
  /** Milliseconds since the epoch. */
  from: number;
  to: number;
  /** How far apart two points of a graph are. */
  intervalMs: number;
}

type Macro = (time: QueryTime, args: readonly string[]) => string;

const seconds = (ms: number) => `toDateTime(${Math.floor(ms / 1000)})`;
const millis = (ms: number) => `fromUnixTimestamp64Milli(${Math.floor(ms)})`;
const date = (ms: number) => `toDate('${new Date(ms).toISOString().slice(0, 10)}')`;

const between = (column: string, { from, to }: QueryTime, at: (ms: number) => string) =>
  `${column} >= ${at(from)} AND ${column} <= ${at(to)}`;

const dateTimeFilter: Macro = (time, [dateColumn, timeColumn]) =>
  `(${between(dateColumn!, time, date)}) AND (${between(timeColumn!, time, seconds)})`;

/** By name: how many arguments, and what it becomes. */
const MACROS: Readonly<Record<string, readonly [number, Macro]>> = {
  fromTime: [0, ({ from }) => seconds(from)],
  toTime: [0, ({ to }) => seconds(to)],
  fromTime_ms: [0, ({ from }) => millis(from)],
  toTime_ms: [0, ({ to }) => millis(to)],
  timeFilter: [1, (time, [column]) => between(column!, time, seconds)],
  timeFilter_ms: [1, (time, [column]) => between(column!, time, millis)],
  dateFilter: [1, (time, [column]) => between(column!, time, date)],
  dateTimeFilter: [2, dateTimeFilter],
  dt: [2, dateTimeFilter],
  timeInterval: [
    1,
    (time, [column]) => `toStartOfInterval(toDateTime(${column}), INTERVAL ${intervalSeconds(time)} second)`,
  ],
  timeInterval_ms: [
    1,
    ({ intervalMs }, [column]) =>
      `toStartOfInterval(toDateTime64(${column}, 3), INTERVAL ${Math.max(Math.floor(intervalMs), 1)} millisecond)`,
  ],
  interval_s: [0, (time) => String(intervalSeconds(time))],
};

const intervalSeconds = ({ intervalMs }: QueryTime) => Math.max(Math.floor(intervalMs / 1000), 1);

/** The query with its macros expanded. Throws where the data source would send something that is no query. */
export function expandMacros(sql: string, time: QueryTime): string {
  let expanded = '';
  let rest = sql;
  for (;;) {
    const match = /\$__(\w+)/.exec(rest);
    if (!match) return expanded + rest;
    const [token, name] = match as unknown as [string, string];
    const macro = MACROS[name];
    if (!macro) throw new Error(`${token} is no macro of the data source`);
    const [arity, expand] = macro;
    const end = match.index + token.length;
    const { args, length } = macroArguments(rest.slice(end));
    // Brackets behind a macro without arguments are its arguments all the same.
    if (args.length !== arity) throw new Error(`${token} takes ${arity} arguments, got ${args.length}`);
    expanded += rest.slice(0, match.index) + expand(time, args);
    rest = rest.slice(end + length);
  }
}

/** The arguments in the brackets that `text` begins with, and how long those are; none where it begins otherwise. */
function macroArguments(text: string): { args: string[]; length: number } {
  if (!text.startsWith('(')) return { args: [], length: 0 };
  const args: string[] = [];
  let depth = 0;
  let start = 1;
  for (let i = 0; i < text.length; i++) {
    if (text[i] === '(') depth++;
    if (text[i] === ')') depth--;
    if ((text[i] === ',' && depth === 1) || depth === 0) {
      args.push(text.slice(start, i).trim());
      start = i + 1;
    }
    if (depth === 0) return { args, length: i + 1 };
  }
  throw new Error(`a bracket is never closed: ${text.slice(0, 80)}`);
}
