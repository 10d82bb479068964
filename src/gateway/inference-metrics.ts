import { labelText } from './metric-family.ts';
import type { Usage } from './protocol.ts';

/**
 * The GenAI conventions' client metrics, in Prometheus' text format: how long calls took, how long until the first chunk
 * came, and the tokens they used, by operation, provider, model asked for and kind of error.
 *
 * Callers name models and providers kinds of errors, so the number of series is bounded: past it calls count under the
 * model `other`, and past a second bound also under the error `_OTHER`, as the conventions call the rest.
 */
export interface MeasuredCall {
  operation: string;
  provider: string;
  model: string | undefined;
  errorType: string | undefined;
  seconds: number;
  /** `undefined` where no chunk came. */
  firstChunkSeconds: number | undefined;
  usage: Usage | undefined;
}

const SERIES_MAX = 1_000;
const OTHER_SERIES_MAX = 100;
const OTHER_MODEL = 'other';
const OTHER_ERROR = '_OTHER';
/** Longer than any name of a model. */
const LABEL_CHARS_MAX = 200;
/** In seconds, as the conventions advise. */
const BOUNDS = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];

class Histogram {
  private readonly counts = new Array<number>(BOUNDS.length + 1).fill(0);
  private sum = 0;

  add(seconds: number): void {
    let i = 0;
    while (i < BOUNDS.length && seconds > BOUNDS[i]!) i++;
    this.counts[i]!++;
    this.sum += seconds;
  }

  lines(name: string, labels: string): string {
    let count = 0;
    const buckets = this.counts.map((n, i) => {
      count += n;
      return `${name}_bucket{${labels},le="${BOUNDS[i] ?? '+Inf'}"} ${count}\n`;
    });
    return `${buckets.join('')}${name}_sum{${labels}} ${this.sum}\n${name}_count{${labels}} ${count}\n`;
  }
}

interface Series {
  labels: string;
  duration: Histogram;
  firstChunk: Histogram;
  inputTokens: number;
  outputTokens: number;
}

export class InferenceMetrics {
  /** By the parts of a key, joined. */
  private readonly series = new Map<string, Series>();

  add(call: MeasuredCall): void {
    const series = this.seriesOf(call);
    series.duration.add(call.seconds);
    if (call.firstChunkSeconds !== undefined) series.firstChunk.add(call.firstChunkSeconds);
    series.inputTokens += call.usage?.inputTokens ?? 0;
    series.outputTokens += call.usage?.outputTokens ?? 0;
  }

  private seriesOf(call: MeasuredCall): Series {
    const { operation, provider } = call;
    const model = labelOf(call.model);
    const errorType = labelOf(call.errorType);
    return (
      this.find(operation, provider, model, errorType, SERIES_MAX) ??
      this.find(operation, provider, OTHER_MODEL, errorType, SERIES_MAX + OTHER_SERIES_MAX) ??
      this.find(operation, provider, OTHER_MODEL, errorType && OTHER_ERROR, Number.POSITIVE_INFINITY)!
    );
  }

  /** The series of these; one that is new is `undefined` where there are `seriesMax`. */
  private find(
    operation: string,
    provider: string,
    model: string,
    errorType: string,
    seriesMax: number,
  ): Series | undefined {
    const key = `${operation}\n${provider}\n${model}\n${errorType}`;
    const known = this.series.get(key);
    if (known || this.series.size >= seriesMax) return known;
    const labels = Object.entries({
      gen_ai_operation_name: operation,
      gen_ai_provider_name: provider,
      gen_ai_request_model: model,
      error_type: errorType,
    })
      .filter(([, value]) => value !== '')
      .map(([name, value]) => labelText(name, value))
      .join(',');
    const made = {
      labels,
      duration: new Histogram(),
      firstChunk: new Histogram(),
      inputTokens: 0,
      outputTokens: 0,
    };
    this.series.set(key, made);
    return made;
  }

  text(): string {
    const all = [...this.series.values()];
    const metric = (name: string, type: string, help: string, line: (series: Series) => string) =>
      `# HELP ${name} ${help}.\n# TYPE ${name} ${type}\n${all.map(line).join('')}`;
    const histogram = (name: string, help: string, of: (series: Series) => Histogram) =>
      metric(name, 'histogram', help, (series) => of(series).lines(name, series.labels));
    const tokens = (kind: string, of: (series: Series) => number) => {
      const name = `gen_ai_client_inference_usage_${kind}_tokens_total`;
      return metric(name, 'counter', `Tokens, ${kind}`, (s) => `${name}{${s.labels}} ${of(s)}\n`);
    };
    return [
      histogram('gen_ai_client_inference_duration_seconds', 'Model calls, to their end', (s) => s.duration),
      histogram(
        'gen_ai_client_inference_time_to_first_chunk_seconds',
        'Model calls, to the first chunk of the answer',
        (s) => s.firstChunk,
      ),
      tokens('input', (s) => s.inputTokens),
      tokens('output', (s) => s.outputTokens),
    ].join('');
  }
}

const labelOf = (text = '') => text.slice(0, LABEL_CHARS_MAX).toWellFormed();
