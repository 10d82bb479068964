import type { Observation } from '../../src/records/observation.ts';
import type { ProbeRow } from '../../src/store/probes.ts';
import type { Alarm } from '../detect/report.ts';
import { watch } from '../detect/watch.ts';

/**
 * The scheduled probes of a maker as a series of their own, with a baseline of their own, through the detector of golden
 * scores: for a maker that gets worse under the name of the same model.
 *
 * They are drawn evenly and with replacement (choose.ts), so that while the maker stays as it is each score has, given the
 * past, the same mean: what the detector's promise on the average run length rests on. Those after a change of model are
 * not: they are chosen otherwise, and paired.
 */
export interface SeriesAlarm {
  alarm: Alarm;
  /** The probe that raised it, and those to look at. */
  raised: ProbeRow;
  lookAt: ProbeRow[];
  /** When it was over (ISO 8601); `undefined` while it is not. */
  recoveredAt: string | undefined;
}

/** The falls of the series so far, oldest first. `probes` are the suite's of the maker, oldest first. */
export function seriesAlarms(probes: readonly ProbeRow[], arl: number): SeriesAlarm[] {
  const scheduled = probes.filter(({ reason }) => reason === 'schedule');
  const byId = new Map(scheduled.map((probe) => [probe.run_id, probe]));
  const { alarms, recoveries } = watch(scheduled.map(observationOf), { arl });
  return alarms.flatMap((alarm, place) =>
    alarm.kind !== 'golden_drop'
      ? []
      : {
          alarm,
          raised: scheduled[alarm.at_run]!,
          lookAt: alarm.evidence.look_at.flatMap((id) => byId.get(id) ?? []),
          recoveredAt: recoveries.find((recovery) => recovery.alarm === place)?.at,
        },
  );
}

const observationOf = (probe: ProbeRow, index: number): Observation => ({
  index,
  runId: probe.run_id,
  at: new Date(probe.at).toISOString(),
  score: probe.score,
  checkerPass: null,
  effects: 0,
  inputHash: '',
  outputHash: '',
  servedModel: probe.served_model,
  promptVersion: probe.template_version,
  toolsVersion: '',
  checkerVersion: '',
  datasetVersion: '',
  task: '',
});
