/** One metric in Prometheus' terms. Labels come from fixed sets and the settings, so their number is bounded. */
export interface MetricFamily {
  name: string;
  type: 'counter' | 'gauge';
  help: string;
  samples: readonly { labels: Readonly<Record<string, string>>; value: number }[];
}

/** In Prometheus' text format. */
export function familyText({ name, type, help, samples }: MetricFamily): string {
  const lines = samples.map(({ labels, value }) => {
    const entries = Object.entries(labels).map(([label, text]) => labelText(label, text));
    return `${name}${entries.length > 0 ? `{${entries.join(',')}}` : ''} ${value}\n`;
  });
  return `# HELP ${name} ${help}.\n# TYPE ${name} ${type}\n${lines.join('')}`;
}

/** A label as the format has it: of what JSON escapes it knows three. */
export function labelText(label: string, value: string): string {
  return `${label}="${value.replace(/[\\"\n]/g, (c) => (c === '\n' ? '\\n' : `\\${c}`))}"`;
}

/** Samples that one label tells apart. */
export const samplesBy = (
  label: string,
  values: Iterable<readonly [string, number]>,
): MetricFamily['samples'] => [...values].map(([key, value]) => ({ labels: { [label]: key }, value }));
