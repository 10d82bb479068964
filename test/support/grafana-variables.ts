/**
 * What Grafana's front end does to a query before the data source's backend gets it: `$__conditionalAll` first, then
 * variables (`$loop`, `${loop}`, `${loop:sqlstring}`), as the ClickHouse data source (4.20) has them formatted.
 *
 * Documented in https://grafana.com/docs/grafana/latest/dashboards/variables/variable-syntax/ and in
 * https://github.com/grafana/clickhouse-datasource, src/data/CHDatasource.ts.
 */

/** A variable as it is chosen: one value, several, or all of those that there are. */
export type VariableValue = string | readonly string[] | AllOf;

export interface AllOf {
  all: readonly string[];
}

export type Values = Readonly<Record<string, VariableValue>>;

const isAll = (value: VariableValue | undefined): value is AllOf =>
  typeof value === 'object' && 'all' in value;

type Format = (value: string | readonly string[]) => string;

const each =
  (quote: (one: string) => string): Format =>
  (value) =>
    typeof value === 'string' ? quote(value) : value.map(quote).join(',');

const FORMATS: Readonly<Record<string, Format>> = {
  sqlstring: each((one) => `'${one.replaceAll("'", "''")}'`),
  singlequote: each((one) => `'${one.replaceAll("'", "\\'")}'`),
  doublequote: each((one) => `"${one.replaceAll('"', '\\"')}"`),
  csv: each(String),
  raw: each(String),
};

/** What the data source does where no format is named: several values are quoted, one is left as it is. */
const unnamed: Format = (value) => (typeof value === 'string' ? value : `'${value.join("','")}'`);

/** The query with its conditions and variables filled in. Throws for a variable that has no value. */
export function fillIn(sql: string, values: Values): string {
  return conditionalAll(sql, values).replaceAll(
    /\$(?!__)(\w+)|\$\{(\w+)(?::(\w+))?\}/g,
    (token, short: string | undefined, long: string | undefined, name: string | undefined) => {
      const value = values[short ?? long!];
      if (value === undefined) throw new Error(`${token} has no value`);
      const format = name === undefined ? unnamed : FORMATS[name];
      if (!format) throw new Error(`${token}: no format is called ${name}`);
      return format(isAll(value) ? value.all : value);
    },
  );
}

const CONDITIONAL = '$__conditionalAll(';

/** Conditions on a variable of which all, or nothing, is chosen become true; the others stay. Innermost first. */
function conditionalAll(sql: string, values: Values): string {
  for (let at = sql.lastIndexOf(CONDITIONAL); at !== -1; at = sql.lastIndexOf(CONDITIONAL)) {
    const params = conditionalParams(sql, at + CONDITIONAL.length - 1);
    if (params.length !== 2)
      throw new Error(`$__conditionalAll takes 2 arguments, got ${params.length}: ${sql.slice(at, at + 80)}`);
    const [condition, variable] = params as [string, string];
    const name = /(?<=\$\{)\w+(?=\})|(?<=\$)\w+/.exec(variable.trim())?.[0];
    const value = name === undefined ? undefined : values[name];
    const holds = isAll(value) || String(value ?? ' ') === '';
    // The data source replaces the first that reads the same, which comes to the same.
    sql = sql.replace(`${CONDITIONAL}${condition},${variable})`, () => (holds ? '1=1' : condition));
  }
  return sql;
}

function conditionalParams(sql: string, open: number): string[] {
  const params: string[] = [];
  let depth = 0;
  let start = open + 1;
  for (let i = open; i < sql.length; i++) {
    if (sql[i] === '(') depth++;
    if (sql[i] === ')') depth--;
    if ((sql[i] === ',' && depth === 1) || depth === 0) {
      params.push(sql.slice(start, i));
      start = i + 1;
    }
    if (depth === 0) return params;
  }
  return [];
}
