/**
 * Prometheus' text format, as far as our own roles write it: who reads it back asks no role for a second way to say the
 * same. Format: https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
 */
export interface Family {
  name: string;
  /** Counts only grow: counters, and the parts of histograms. */
  isCount: boolean;
  samples: Sample[];
}

export interface Sample {
  labels: Record<string, string>;
  value: number;
}

const SAMPLE = /^([A-Za-z_:][\w:]*)(?:\{(.*)\})? (\S+)$/;
const LABEL = /([A-Za-z_]\w*)="((?:[^"\\]|\\.)*)"(?:,|$)/gy;

/** The families in `text`, in its order. What is no line of that format is left out. */
export function readExposition(text: string): Family[] {
  const types = new Map<string, string>();
  const families = new Map<string, Family>();
  for (const line of text.split('\n')) {
    const type = /^# TYPE (\S+) (\w+)$/.exec(line);
    if (type) types.set(type[1]!, type[2]!);
    if (line.startsWith('#')) continue;
    const [, name, labels, value] = SAMPLE.exec(line) ?? [];
    if (name === undefined || !Number.isFinite(Number(value))) continue;
    let family = families.get(name);
    if (!family) {
      family = { name, isCount: isCount(name, types), samples: [] };
      families.set(name, family);
    }
    family.samples.push({ labels: readLabels(labels ?? ''), value: Number(value) });
  }
  return [...families.values()];
}

function isCount(name: string, types: ReadonlyMap<string, string>): boolean {
  const own = types.get(name);
  return own === undefined
    ? types.get(name.replace(/_(bucket|sum|count)$/, '')) === 'histogram'
    : own === 'counter';
}

const readLabels = (text: string): Record<string, string> =>
  Object.fromEntries(
    [...text.matchAll(LABEL)].map(([, label, value]) => [
      label!,
      value!.replace(/\\(.)/g, (_, c: string) => (c === 'n' ? '\n' : c)),
    ]),
  );
