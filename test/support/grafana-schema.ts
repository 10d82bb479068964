import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DashboardJson } from './grafana-queries.ts';

/**
 * Whether dashboards are what Grafana's own types (`@grafana/schema`) say they are: their JSON is written out as
 * constants of those types, where a compiler finds every field that is not there and every word that is none of the
 * allowed ones. Options and fields of panels are held against the types of their kind of panel.
 */
const ROOT = join(import.meta.dirname, '../..');
const TYPES = join(ROOT, 'node_modules/@grafana/schema/dist/types');

/** By the type of a panel the folder of its types. Of the options of the others Grafana publishes none. */
const TYPED_PANELS: Readonly<Record<string, string>> = {
  timeseries: 'timeseries',
  table: 'table',
  stat: 'stat',
  barchart: 'barchart',
  'state-timeline': 'statetimeline',
  text: 'text',
};

/** Those whose own settings of fields have a type. */
const WITH_FIELDS = new Set(['timeseries', 'barchart', 'statetimeline']);

const HEAD = `
/** What JSON has in place of an enum: its words. */
type Json<T> = T extends string ? \`\${T}\` : T extends (infer E)[] ? Json<E>[] : T extends object ? { [K in keyof T]: Json<T[K]> } : T;
/** What the types know of a query, and what ours say besides. */
type Target = { refId: string; datasource: object; editorType: 'sql'; rawSql: string; format: number; queryType: string; pluginVersion: string };
`;

/** What the compiler complains of; nothing when all is well. */
export async function schemaComplaints(dashboards: Readonly<Record<string, DashboardJson>>): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'loopscope-schema-'));
  try {
    const files = Object.entries(dashboards).map(([name, dashboard]) => {
      const file = join(folder, `${name}.mts`);
      writeFileSync(file, sourceOf(dashboard));
      return file;
    });
    const config = join(folder, 'tsconfig.json');
    const paths = {
      '@grafana/schema': [join(TYPES, 'index.d.ts')],
      '@grafana/schema/raw/*': [join(TYPES, 'raw/composable/*')],
    };
    writeFileSync(
      config,
      JSON.stringify({
        extends: join(ROOT, 'tsconfig.json'),
        compilerOptions: { types: [], paths, noUnusedLocals: false },
        include: [],
        files,
      }),
    );
    return await compile(config);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function sourceOf({ panels, annotations, ...dashboard }: DashboardJson): string {
  const kinds = [...new Set(panels.flatMap(({ type }) => TYPED_PANELS[type] ?? []))];
  return [
    `import type { AnnotationQuery, Dashboard, Panel } from '@grafana/schema';`,
    ...kinds.map(
      (kind) => `import type * as ${kind} from '@grafana/schema/raw/${kind}/panelcfg/x/types.gen.d.ts';`,
    ),
    HEAD,
    constant('dashboard', "Omit<Json<Dashboard>, 'panels'>", dashboard),
    ...annotations.list.flatMap(({ target, ...annotation }, i) => [
      constant(`annotation${i}`, 'Json<AnnotationQuery>', annotation),
      ...(target ? [constant(`annotationTarget${i}`, 'Target', target)] : []),
    ]),
    ...panels.flatMap(panelSource),
  ].join('\n');
}

function panelSource({ targets = [], ...panel }: DashboardJson['panels'][number], index: number): string[] {
  const { type, options, fieldConfig } = panel;
  const kind = TYPED_PANELS[type];
  return [
    constant(`panel${index}`, 'Json<Panel>', panel),
    ...targets.map((target, i) => constant(`target${index}_${i}`, 'Target', target)),
    ...(kind ? [constant(`options${index}`, `Partial<Json<${kind}.Options>>`, options)] : []),
    ...(kind && WITH_FIELDS.has(kind)
      ? [constant(`fields${index}`, `Json<${kind}.FieldConfig>`, fieldConfig?.defaults.custom ?? {})]
      : []),
  ];
}

const constant = (name: string, type: string, value: unknown): string =>
  `export const ${name}: ${type} = ${JSON.stringify(value)};`;

const compile = (config: string): Promise<string> =>
  new Promise((resolve) => {
    execFile(
      process.execPath,
      [join(ROOT, 'node_modules/typescript/bin/tsc'), '--noEmit', '-p', config],
      { maxBuffer: 16 * 1024 * 1024 },
      (error, stdout, stderr) => resolve(error ? stdout || stderr || error.message : ''),
    );
  });
