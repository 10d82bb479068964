import type { Command } from 'commander';
import { scorerServices } from '../../evals/scorers/services.ts';
import type { Clock } from '../clock.ts';
import { collectorAuthorities, fetchTrusting } from '../collector-trust.ts';
import { LoopscopeError } from '../errors.ts';
import { Prices } from '../gateway/price.ts';
import { Background } from '../replay/bisect/background.ts';
import { type Bisected, bisect, ERROR } from '../replay/bisect/bisect.ts';
import { gatherMaterials, type Materials, type RecordingsWith } from '../replay/bisect/materials.ts';
import { playTrial } from '../replay/bisect/play-trial.ts';
import { changesBetween, itemsAround, unknownBetween, versionIn } from '../replay/bisect/points.ts';
import type { Measure } from '../replay/bisect/trial.ts';
import { gatewayModel, providerNames } from '../replay/play/ask.ts';
import { publishReplay } from '../replay/play/publish.ts';
import { toolGuard } from '../replay/play/tools.ts';
import { loadRecording } from '../replay/record/load.ts';
import type { Recording } from '../replay/recording.ts';
import { runTraceId } from '../span/ids.ts';
import { loopsSeen } from '../store/runs.ts';
import type { VersionedRun } from '../store/versions.ts';
import { positiveInteger, positiveNumber } from './arguments.ts';
import { type Found, findPoints, loopMeant } from './bisect-points.ts';
import { openScoring, type Scoring } from './bisect-scoring.ts';
import { COLUMNS, costText, decidingReplays, MEASURES, sentenceOf, variantRows } from './bisect-text.ts';
import type { CliContext } from './context.ts';
import { count, iso, time, usd } from './format.ts';
import { printable, table } from './table.ts';

interface Options {
  loop?: string;
  good?: string;
  bad?: string;
  replaysMax: number;
  costMax?: number;
  keyEnv: string;
  seed: number;
}

const REPLAYS_MAX_DEFAULT = 400;
const ITEMS_MAX = 200;
/** Replays that are put on record at the same time: the collector has few places for who waits until all is stored. */
const KEPT_AT_ONCE_MAX = 2;
/** Runs of a version that are looked through for what it is. */
const RECORDINGS_PER_VERSION_MAX = 5;

/** `bisect`: which change made a loop worse. */
export function add(program: Command, context: CliContext): void {
  program
    .command('bisect')
    .description(
      'find the change that made a loop worse, by replaying its inputs with each made and taken back',
    )
    .argument('[run-or-loop]', 'a run that went badly, or a loop: then its newest alert says when it changed')
    .option('--loop <loop>', 'the loop whose run is meant, where several have one of that id')
    .option('--good <run>', 'a run from before it got worse')
    .option('--bad <run>', 'a run from after it')
    .option('--replays-max <n>', 'make no more replays', positiveInteger, REPLAYS_MAX_DEFAULT)
    .option('--cost-max <usd>', 'stop when the replays have cost so much', positiveNumber)
    .option('--key-env <name>', 'the variable with the key for the calls', 'LOOPSCOPE_REPLAY_KEY')
    .option('--seed <n>', 'draws the order of the inputs', positiveInteger, 1)
    .addHelpText(
      'after',
      '\nExamples:\n  loopscope bisect primes\n  loopscope bisect --good r-000310 --bad r-000402 --loop primes --cost-max 2\n\nModels are called anew, through the gateway; tools are not carried out, their results come from the record.\nExit code 1 where no change is named.',
    )
    .action((target: string | undefined, options: Options) => run(context, target, options));
}

async function run(context: CliContext, target: string | undefined, options: Options): Promise<void> {
  const store = context.store();
  const registered = context.registry().loops;
  const seen = new Set(await loopsSeen(store));
  const { loop, run } = await loopMeant(
    store,
    { target, loop: options.loop, bad: options.bad },
    (name) => registered.has(name) || seen.has(name),
  );
  const found = await findPoints(store, { loop, run, good: options.good, bad: options.bad });
  const scoring = await openScoring(context, loop);
  try {
    const load = cached((runId) =>
      loadRecording(store, { loop, runId }, { capture: (name) => context.registry().loop(name)?.capture }),
    );
    const changes = changesBetween(found.runs, found.points).map((change) => ({
      ...change,
      weight: found.weights[change.dimension] ?? (Object.keys(found.weights).length > 0 ? 0 : 1),
    }));
    const materials = await gatherMaterials(changes, recordingsIn(found.runs, load));
    const items = itemsAround(found.runs, found.changeAt, {
      max: ITEMS_MAX,
      isMeasured: (measured) => scoring.itemOf(measured) !== undefined,
    });
    const plan: Plan = { loop, found, materials, items, measures: measuresFor(context, loop, found) };
    tell(context, plan);
    requirePossible(plan);
    const result = await search(context, plan, { load, scoring, options });
    context.out.progress('');
    if (!['one', 'together', 'more'].includes(result.outcome)) context.exitCode = 1;
    context.show(document(plan, result), () => {
      context.out.line(context.out.paint('bold', printable(sentenceOf(result))));
      context.out.line();
      for (const line of table(context.out.paint, COLUMNS, variantRows(result))) context.out.line(line);
      for (const line of afterword(plan, result)) context.out.line(printable(line));
    });
  } finally {
    await scoring.close();
  }
}

interface Plan {
  loop: string;
  found: Found;
  materials: Materials;
  items: VersionedRun[];
  measures: Measure[];
}

/** What is looked at: what the alert says fell, else the golden score and, where replays have verdicts, the checker. */
function measuresFor(context: CliContext, loop: string, { measure }: Found): Measure[] {
  const hasVerdicts = context
    .registry()
    .loop(loop)
    ?.agents.some(({ role, verdict }) => role === 'checker' && verdict);
  if (measure === 'checker' && !hasVerdicts)
    throw new LoopscopeError(
      'usage',
      `What fell is how far the checker of ${loop} agrees with the golden score, and no replay has its verdict: say in loops/${loop}.yaml how a checker's answer is read (\`verdict\`). Is it the loop's own code, then no replay can tell.`,
    );
  if (measure) return [measure];
  return hasVerdicts ? ['golden', 'checker'] : ['golden'];
}

/** Says up front what is going to be tried, and what cannot be. */
function tell({ out }: CliContext, { loop, found, materials, items, measures }: Plan): void {
  const note = (text: string) => out.note(printable(text));
  const { good, bad } = found.points;
  const why = found.alert ? ` (alert ${found.alert.alert_id}, ${found.alert.kind})` : '';
  note(
    `${loop}: good ${good.runId} (${time(good.startedAt)} UTC), bad ${bad.runId} (${time(bad.startedAt)} UTC)${why}`,
  );
  for (const { dimension, history } of materials.changes) note(`  ${dimension}: ${history.join(' → ')}`);
  for (const { dimension, version, why } of materials.impossible)
    note(`  ${dimension} ${version} cannot be tried: ${why}`);
  for (const dimension of unknownBetween(found.points))
    note(`  ${dimension}: one of the two does not say which it had`);
  note(
    `  by ${measures.map((measure) => MEASURES[measure]).join(' and ')}, on ${count(items.length)} inputs`,
  );
}

function requirePossible({ loop, found, materials, items }: Plan): void {
  const { good, bad } = found.points;
  if (materials.changes.length === 0)
    throw new LoopscopeError(
      'not_found',
      materials.impossible.length > 0
        ? 'Nothing of what changed can be tried: see above. `capture: full` records what replays need.'
        : `Between runs ${good.runId} and ${bad.runId} neither model, prompt, tools nor checker changed. Name other runs with --good and --bad; where it is the tasks or the golden data that changed, no replay can tell.`,
    );
  if (items.length === 0)
    throw new LoopscopeError(
      'not_found',
      `No run of ${loop} around ${iso(found.changeAt)} meets an item of its golden data, and without those no replay can be scored. \`loopscope golden from-runs\` makes some of runs.`,
    );
}

/** The newest runs that were made with a version, as they were recorded. */
const recordingsIn = (
  runs: readonly VersionedRun[],
  load: (runId: string) => Promise<Recording | undefined>,
): RecordingsWith =>
  async function* (dimension, version) {
    const made = runs.filter((run) => versionIn(run, dimension) === version);
    for (const { runId } of made.slice(-RECORDINGS_PER_VERSION_MAX).reverse()) {
      const recording = await load(runId);
      if (recording) yield recording;
    }
  };

interface Tools {
  load(runId: string): Promise<Recording | undefined>;
  scoring: Scoring;
  options: Options;
}

async function search(context: CliContext, plan: Plan, { load, scoring, options }: Tools): Promise<Bisected> {
  const { loop, found, materials, items, measures } = plan;
  const { clock, out } = context;
  const config = context.config();
  const runs = new Map(items.map((item) => [item.runId, item]));
  const { gatewayUrl } = scorerServices(config, clock, context.endpoints()?.gateway);
  const prices = new Prices(config.providers, config.prices);
  const key = config.keyOf(options.keyEnv);
  const definition = context.registry().loop(loop);
  // Nothing is carried out, and what a provider would carry out itself is not asked for.
  const guard = toolGuard(loop, definition?.tools ?? [], []);
  const send = {
    collectorUrl: context.collectorUrl(),
    token: config.collector.token,
    fetch: fetchTrusting(collectorAuthorities(config.collector)),
    clock,
  };
  // The collector answers when spans are stored, and that takes its time.
  const kept = new Background(KEPT_AT_ONCE_MAX);
  const result = await bisect({
    changes: materials.changes,
    items: items.length,
    measures,
    ...(measures.length === 1 && measures[0] === 'golden' && { recordedFall: found.recordedFall }),
    seed: options.seed,
    replaysMax: options.replaysMax,
    ...(options.costMax !== undefined && { costUsdMax: options.costMax }),
    onProgress: ({ stage, replays, costUsd }) =>
      out.progress(`${STAGES[stage]}: ${count(replays)} replays, ${usd(costUsd)}`),
    trial: playTrial({
      items: items.map(({ runId }) => runId),
      load,
      overridesOf: materials.overridesOf,
      modelFor: ({ run }, replayId) =>
        gatewayModel({
          gatewayUrl,
          loop,
          run,
          replayId,
          traceId: runTraceId(loop, replayId),
          key,
          prices,
          clock,
          guard,
          providerName: providerNames(config.providers),
        }),
      score: (output, runId) => scoring.score(output, runs.get(runId)!),
      isJudged: measures.includes('checker'),
      definition,
      clock,
      newId: () => newReplayId(clock),
      keep: (original, played, overrides) =>
        kept.add(
          publishReplay({
            store: context.store(),
            send,
            original,
            played,
            mode: 'model',
            drivenBy: 'record',
            overrides,
            isRegistered: definition !== undefined,
          }),
        ),
    }),
  });
  await kept.done();
  return result;
}

/** Such as `replay-20261127T053312-1a2b3c4d`. */
const newReplayId = (clock: Clock): string =>
  `replay-${new Date(clock.now()).toISOString().slice(0, 19).replaceAll(/[-:]/g, '')}-${clock.randomHex(4)}`;

const STAGES = {
  reproduce: 'does it reproduce',
  search: 'which change is it',
  history: 'which version is it',
} as const;

function cached<T>(load: (key: string) => Promise<T>): (key: string) => Promise<T> {
  const loaded = new Map<string, Promise<T>>();
  return (key) => {
    const value = loaded.get(key) ?? load(key);
    loaded.set(key, value);
    return value;
  };
}

function document({ loop, found, materials, items, measures }: Plan, result: Bisected) {
  const { good, bad } = found.points;
  const { trials, outcome, measure, culprits, how, suspicion, changes } = result;
  return {
    loop,
    outcome,
    sentence: sentenceOf(result),
    culprits: culprits.map(({ dimension, history }) => ({
      dimension,
      from: history[0],
      to: history.at(-1),
      between: history.slice(1, -1),
    })),
    how: how ?? null,
    measure,
    measures,
    good: { run: good.runId, at: iso(good.startedAt) },
    bad: { run: bad.runId, at: iso(bad.startedAt) },
    alert: found.alert?.alert_id ?? null,
    changes: changes.list.map(({ dimension, history }, i) => ({
      dimension,
      history,
      suspicion: suspicion[i] ?? null,
    })),
    not_tried: materials.impossible,
    inputs: items.length,
    replays: trials.replays,
    failed: trials.failed,
    failures: Object.fromEntries(trials.failures),
    cost_usd: trials.costUnknown === trials.replays ? null : trials.costUsd,
    cost_unknown: trials.costUnknown,
    error: ERROR,
    variants: variantRows(result),
    diff: decidingReplays(result) ?? null,
  };
}

function afterword({ loop, materials }: Plan, result: Bisected): string[] {
  const { trials } = result;
  const diff = decidingReplays(result);
  const failures = [...trials.failures].map(([code, n]) => `${code} ${count(n)}`).join(', ');
  return [
    '',
    `A change that does less than all the others together is named with a chance of at most ${ERROR * 100} %.`,
    ...(failures ? [`Replays without a score: ${failures}.`] : []),
    ...(trials.costUnknown > 0
      ? [`Of ${count(trials.costUnknown)} replays nobody knows the cost (${costText(trials)}).`]
      : []),
    ...(materials.impossible.length > 0
      ? ['What could not be tried stands above; it may have done its part.']
      : []),
    ...(diff ? [`See the difference: loopscope diff ${diff.join(' ')} --loop ${loop}`] : []),
  ];
}
