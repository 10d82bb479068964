import type { CallContext } from './context.ts';
import type { Replay } from './idempotency/replay.ts';
import { familyText, type MetricFamily } from './metric-family.ts';

/** All that the gateway counts, in Prometheus' text format. */
export function metricsText(context: CallContext): string {
  const { metrics, inference, recorder, runs, router, routing, limiter, replay, clock } = context;
  const families: MetricFamily[] = [
    ...metrics.families({ ...recorder.figures(), openRuns: runs.size }),
    ...routing.figures.families(router.health, clock.now()),
    ...limiter.figures(),
    ...replayFamilies(replay),
  ];
  return families.map(familyText).join('') + inference.text();
}

function replayFamilies({ keyed, cached }: Replay): MetricFamily[] {
  const stores = [
    { store: 'idempotency', recordings: keyed },
    { store: 'cache', recordings: cached },
  ] as const;
  const counts = (of: 'begun' | 'dropped', label: string): MetricFamily['samples'] =>
    stores.flatMap(({ store, recordings }) =>
      Object.entries(recordings[of]).map(([key, value]) => ({ labels: { store, [label]: key }, value })),
    );
  return [
    {
      name: 'loopscope_gateway_replay_calls_total',
      type: 'counter',
      help: 'Calls with an Idempotency-Key or in a cache, by what became of them',
      samples: counts('begun', 'outcome'),
    },
    {
      name: 'loopscope_gateway_recordings_dropped_total',
      type: 'counter',
      help: 'Answers that are not kept',
      samples: counts('dropped', 'reason'),
    },
    {
      name: 'loopscope_gateway_recordings_bytes',
      type: 'gauge',
      help: 'Answers that are kept for repetitions',
      samples: stores.map(({ store, recordings }) => ({ labels: { store }, value: recordings.bytes })),
    },
    {
      name: 'loopscope_gateway_recordings',
      type: 'gauge',
      help: 'Answers that are kept, and those on their way',
      samples: stores.flatMap(({ store, recordings }) => [
        { labels: { store, state: 'in_flight' }, value: recordings.inFlight },
        { labels: { store, state: 'complete' }, value: recordings.complete },
      ]),
    },
  ];
}
