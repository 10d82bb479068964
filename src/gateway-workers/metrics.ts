/**
 * The metrics of several workers as one text of Prometheus, each series with the label `worker`. They are not added up:
 * a worker that is replaced begins at zero, and of a sum that falls Prometheus takes what remains for new, which would
 * show as a burst of calls that nobody made. `sum without (worker)` over the rates is right.
 */
export function labelWorkers(texts: readonly { worker: number; text: string }[]): string {
  const families = new Map<string, { head: string[]; samples: string[] }>();
  for (const { worker, text } of texts) {
    let family: { head: string[]; samples: string[] } = { head: [], samples: [] };
    for (const line of text.split('\n')) {
      const [, kind, name] = /^# (HELP|TYPE) (\S+)/.exec(line) ?? [];
      if (kind === 'HELP') {
        family = families.get(name!) ?? { head: [], samples: [] };
        families.set(name!, family);
      }
      // A family's lines stand together, under one head.
      if (kind === undefined) family.samples.push(...(line === '' ? [] : [withWorker(line, worker)]));
      else if (family.head.length < 2) family.head.push(line);
    }
  }
  return [...families.values()]
    .map(({ head, samples }) => [...head, ...samples].map((line) => `${line}\n`).join(''))
    .join('');
}

function withWorker(sample: string, worker: number): string {
  const end = sample.search(/[{ ]/);
  const rest = sample.slice(end);
  const label = `worker="${worker}"`;
  return sample.slice(0, end) + (rest.startsWith('{') ? `{${label},${rest.slice(1)}` : `{${label}}${rest}`);
}
