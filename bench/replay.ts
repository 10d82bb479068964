import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { systemClock } from '../src/clock.ts';
import { diffRecordings } from '../src/replay/diff/diff.ts';
import { playRecording } from '../src/replay/play/drive.ts';
import { recordedModel } from '../src/replay/play/match.ts';
import { importRecordings } from '../src/replay/record/import.ts';
import { loadRecording } from '../src/replay/record/load.ts';
import type { Recording } from '../src/replay/recording.ts';
import { openStore, type Store } from '../src/store/client.ts';
import { startEmbedded } from '../src/store/embedded.ts';
import { migrate } from '../src/store/migrate.ts';
import type { Bench } from './harness/bench.ts';
import { startChild } from './harness/child.ts';
import { median, ratio } from './harness/median.ts';
import { merged } from './harness/merged.ts';
import { fillStore } from './replay/fill.ts';
import { makeRun } from './replay/runs.ts';

/**
 * Replay: how fast a recorded run plays against the time that it took, how long it takes to load a large run from among many,
 * and to hold two such runs against each other. ClickHouse is the embedded one, on the same cores.
 */
const MEMORY_BYTES_MAX = 6_000_000_000;
const FILL_TIMEOUT_MS = 600_000;

/** The run that is played: 200 calls, each with a tool. */
const PLAYED = { run: 'played', agents: 1, turns: 200, callMs: 1000, toolMs: 100 };
/** The runs that are loaded: 50 agents, each with 50 calls and 50 tools, in 5,000 steps. */
const LARGE = { agents: 50, turns: 50, callMs: 700, toolMs: 50 };
/** One turn in so many goes another way in the second of them. */
const OTHER_ONE_IN = 100;

export const bench: Bench = {
  name: 'replay',
  summary: 'speed of an exact replay, milliseconds to load a run of 5,000 spans, and to diff two',
  seconds: 1,
  flags: { spans: { help: 'spans of other runs in the store', default: 10_000_000 } },
  run: async ({ rounds, flags, progress }) => {
    const spans = flags['spans']!;
    const clock = systemClock();
    const startedAt = clock.now() - 3_600_000;
    const played = makeRun({ ...PLAYED, startedAt });
    const plays: Took[] = [];
    for (let round = 0; round < rounds; round++)
      plays.push(
        await timed(async () => {
          const { outcome, divergences } = await playRecording(played, {
            mode: 'exact',
            replayId: `replay-${round}`,
            clock,
            model: recordedModel(played),
          });
          if (outcome !== 'done' || divergences.length > 0) throw new Error(`the replay ended as ${outcome}`);
        }),
      );
    const play = medians(plays);
    progress(`an exact replay took ${play.ms!.toFixed(0)} ms`);

    const first = makeRun({ ...LARGE, run: 'large-1', startedAt });
    const few = makeRun({
      ...LARGE,
      run: 'large-2',
      startedAt,
      isOther: (turn) => turn % OTHER_ONE_IN === 0,
    });
    const half = makeRun({
      ...LARGE,
      run: 'large-3',
      startedAt,
      isOther: (turn) => turn >= (LARGE.agents * LARGE.turns) / 2,
    });
    const stored = await withStore(async (store, collectorUrl) => {
      progress(`${spans} spans of other runs are stored`);
      await fillStore(store, { spans, until: clock.now(), progress: (done) => progress(`${done} stored`) });
      await importRecordings([first, few, half], { collectorUrl, clock });
      await merged(store, clock);
      const [{ count }] = (await store.query<{ count: number }>(
        `SELECT count() AS count FROM ${store.database}.otel_traces`,
      )) as [{ count: number }];
      const loads = { own: [] as Took[], shared: [] as Took[] };
      const load = async (run: Recording, into: Took[]): Promise<Recording> => {
        let loaded: Recording | undefined;
        into.push(
          await timed(async () => {
            loaded = await loadRecording(store, { loop: run.loop, runId: run.run });
          }),
        );
        if (loaded?.steps.length !== run.steps.length)
          throw new Error(`${run.run}: not every step was loaded`);
        return loaded;
      };
      const diffs = { few: [] as Took[], half: [] as Took[] };
      for (let round = 0; round < rounds; round++) {
        const a = await load(first, loads.own);
        const b = await load(few, loads.shared);
        const c = await load(half, loads.shared);
        diffs.few.push(await timed(() => void diffRecordings(a, b)));
        diffs.half.push(await timed(() => void diffRecordings(a, c)));
        progress(`round ${round + 1} of ${rounds}`);
      }
      return {
        spans: count,
        firstLoad: loads.own[0]!,
        load: medians(loads.own),
        loadShared: medians(loads.shared),
        few: medians(diffs.few),
        half: medians(diffs.half),
      };
    });
    return {
      conditions: {
        rounds,
        spans_stored: stored.spans,
        steps_of_large_run: first.steps.length,
        agents_of_large_run: LARGE.agents,
        other_turns: `one in ${OTHER_ONE_IN} (diff_ms), every one in the second half (diff_half_ms)`,
        shared: 'half of what was said, or a quarter, first came in another run (load_shared_ms)',
        played: `${PLAYED.turns} model calls of ${PLAYED.callMs} ms and as many tools of ${PLAYED.toolMs} ms`,
        load_first: 'the first in its process, before its code was compiled',
        clickhouse: 'embedded, on the same cores',
      },
      figures: {
        load_first_ms: stored.firstLoad.ms,
        load_ms: stored.load.ms,
        load_shared_ms: stored.loadShared.ms,
        diff_ms: stored.few.ms,
        diff_half_ms: stored.half.ms,
        replay_ms: play.ms,
        cpu_ms: {
          load: stored.load.cpuMs,
          load_shared: stored.loadShared.cpuMs,
          diff: stored.few.cpuMs,
          diff_half: stored.half.cpuMs,
          replay: play.cpuMs,
        },
      },
      ratios: { speed_vs_real_time: ratio(played.durationMs, play.ms) },
    };
  },
};

interface Took {
  ms: number;
  /** Processor time of this process: ClickHouse's is not in it. */
  cpuMs: number;
}

async function timed(work: () => Promise<void> | void): Promise<Took> {
  const startedAt = performance.now();
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return { ms: performance.now() - startedAt, cpuMs: (user + system) / 1000 };
}

const medians = (took: readonly Took[]) => ({
  ms: median(took.map(({ ms }) => ms)),
  cpuMs: median(took.map(({ cpuMs }) => cpuMs)),
});

/** A ClickHouse and a collector of its own for as long as `work` takes. */
async function withStore<T>(work: (store: Store, collectorUrl: string) => Promise<T>): Promise<T> {
  const dataDir = await mkdtemp(join(tmpdir(), 'loopscope-bench-replay-'));
  const clock = systemClock();
  const stops: (() => Promise<unknown>)[] = [() => rm(dataDir, { recursive: true, force: true })];
  try {
    const server = await startEmbedded({
      dataDir,
      httpPort: 0,
      nativePort: 0,
      memoryBytesMax: MEMORY_BYTES_MAX,
      clock,
      log: pino({ level: 'silent' }),
    });
    stops.push(() => server.close());
    const store = openStore({ url: server.url, requestTimeoutMs: FILL_TIMEOUT_MS });
    stops.push(() => store.close());
    await migrate(store, clock);
    const collector = await startChild<{ url: string }>(
      join(import.meta.dirname, 'ingest/collector-process.ts'),
      {
        settings: { clickhouseUrl: server.url },
      },
    );
    stops.push(() => collector.stop());
    return await work(store, collector.ready.url);
  } finally {
    for (const stop of stops.reverse()) await stop();
  }
}
