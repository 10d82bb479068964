import { serve, settings } from '../harness/child-side.ts';
import { type StreamPlan, startFakeProvider } from './fake-provider.ts';
import { type Load, type LoadResult, put } from './load-generator.ts';
import { startSpanSink } from './span-sink.ts';

/**
 * All that is around a gateway: its callers, their provider and the collector. In one process, since several on a core take
 * it from one another for milliseconds, which is a hundred times what is measured.
 */
const providerUrl = await startFakeProvider(settings<StreamPlan>());
const sink = await startSpanSink();

/** One of them. */
export interface Question {
  put?: Load;
  isCollectorAway?: boolean;
}

export interface Answer {
  put: LoadResult;
  exports: number;
}

serve({ providerUrl, collectorUrl: sink.url }, async (question: Question): Promise<Partial<Answer>> => {
  if (question.put) return { put: await put(question.put) };
  sink.isAway = question.isCollectorAway ?? sink.isAway;
  return { exports: sink.requests };
});
