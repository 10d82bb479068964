import { goldenScore, type Score, sameText } from '../../src/records/golden-score.ts';
import { contentHash, inputHash } from '../../src/records/normalize.ts';
import type { Observation } from '../../src/records/observation.ts';
import type { RunRecord } from '../../src/records/record.ts';
import { agentPath, agentRole, taskOf } from '../../src/records/spans.ts';
import { rejudge } from './alarm.ts';
import type { Alarm } from './report.ts';
import { type Watched, watch } from './watch.ts';

export interface BacktestOptions {
  arl: number;
  /** Only this loop. */
  loop?: string;
  /** How a loop's answers are scored where a record brings no score; default: equal text, ignoring case. */
  scorerFor?: (loop: string) => Score | undefined;
}

export interface Backtest {
  loops: { loop: string; runs: number; alarms: Alarm[] }[];
}

/**
 * Plays run records through the detector, loop by loop in order of time: what would have been caught, when and
 * why. Loops by name. Several records of one run (its sub-agents) count as that run.
 */
export async function backtest(
  records: Iterable<RunRecord> | AsyncIterable<RunRecord>,
  options: BacktestOptions,
): Promise<Backtest> {
  const byLoop = new Map<string, RunRecord[]>();
  for await (const record of records) {
    if (options.loop !== undefined && record.loop !== options.loop) continue;
    const list = byLoop.get(record.loop);
    if (list) list.push(record);
    else byLoop.set(record.loop, [record]);
  }
  const loops = [...byLoop].sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    loops: loops.map(([loop, list]) => {
      const runs = observationsOf(list, options.scorerFor?.(loop) ?? sameText);
      const watched = watch(runs, { arl: options.arl });
      return { loop, runs: runs.length, alarms: withJoined(inHindsight(watched, runs), watched) };
    }),
  };
}

/** Each alarm as it is judged by the runs after it too, up to its end or the next change. */
function inHindsight({ alarms, recoveries }: Watched, runs: readonly Observation[]): Alarm[] {
  return alarms.map((alarm, i) => {
    const ends = [
      ...recoveries.filter((r) => r.alarm === i).map((r) => r.at_run),
      ...alarms.slice(i + 1).map((next) => next.change_at_run),
    ].filter((end) => end > alarm.at_run);
    return rejudge(alarm, runs.slice(0, Math.min(runs.length, ...ends)));
  });
}

/** The alarms with what else fell by their changes. */
const withJoined = (alarms: readonly Alarm[], { joined }: Pick<Watched, 'joined'>): Alarm[] =>
  alarms.map((alarm, place) => {
    const own = joined.filter((j) => j.alarm === place).map(({ alarm: _place, ...facts }) => facts);
    return own.length === 0 ? alarm : { ...alarm, evidence: { ...alarm.evidence, joined: own } };
  });

/**
 * A loop's records as what the detector sees, in order of time; records of equal time keep their order.
 *
 * A run of several records is read as the store reads it: the latest verdict and score stand, and the versions are
 * the maker's latest. Those of a sub-agent or of the checker are not what does the work.
 */
export function observationsOf(records: readonly RunRecord[], score: Score): Observation[] {
  // A requested name says nothing of a served model, but where no record has one it is the best there is.
  const servedKnown = records.some((r) => r.served_model !== undefined);
  const runs = Map.groupBy(
    records.map((record) => ({ record, time: Date.parse(record.ts) })).sort((a, b) => a.time - b.time),
    ({ record }) => record.run,
  );
  return [...runs.values()].map((parts, index): Observation => {
    const all = parts.map((part) => part.record);
    const makers = ofMakers(all);
    const checker = latest(all, (r) => r.checker);
    return {
      index,
      runId: all[0]!.run,
      at: all[0]!.ts,
      score: latest(all, (r) => goldenScore(r, score)) ?? null,
      checkerPass: checker?.pass ?? null,
      effects: all.reduce((sum, r) => sum + (r.effects?.length ?? 0), 0),
      inputHash: hashOf(makers.find((r) => r.input !== undefined)?.input, inputHash),
      outputHash: hashOf(
        latest(makers, (r) => r.output),
        contentHash,
      ),
      servedModel: latest(makers, (r) => (servedKnown ? r.served_model : r.model)) ?? '',
      promptVersion: latest(makers, (r) => r.prompt_version) ?? '',
      toolsVersion: latest(makers, (r) => r.tools_version) ?? '',
      checkerVersion: checker ? `${checker.name}@${checker.version}` : '',
      datasetVersion: latest(all, (r) => r.dataset_version) ?? '',
      task: taskOf(all) ?? '',
    };
  });
}

const hashOf = (text: string | undefined, hash: (text: string) => string) =>
  text === undefined ? '' : hash(text);

/** The records of a run whose agent does the work. */
function ofMakers(records: readonly RunRecord[]): RunRecord[] {
  // Once an agent: finding its role takes a look at every record of the run.
  const roles = new Map<string, ReturnType<typeof agentRole>>();
  return records.filter((record) => {
    const path = agentPath(record);
    const key = path.join('\0');
    const role = roles.get(key) ?? agentRole(records, path);
    roles.set(key, role);
    return role === 'maker';
  });
}

/** What `of` gives of the last record that it gives anything of. */
function latest<T>(records: readonly RunRecord[], of: (record: RunRecord) => T | undefined): T | undefined {
  for (const record of records.toReversed()) {
    const value = of(record);
    if (value !== undefined) return value;
  }
  return undefined;
}
