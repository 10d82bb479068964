import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { pino } from 'pino';
import { stringify } from 'yaml';
import { importGolden } from '../evals/golden.ts';
import { loadSuites } from '../evals/suite.ts';
import { alertsDocument } from '../src/cli/alerts.ts';
import { removeEndpoints, writeEndpoints } from '../src/cli/endpoints.ts';
import { statusDocument } from '../src/cli/fleet-report.ts';
import { untilInterrupted } from '../src/cli/interrupt.ts';
import { createOutput } from '../src/cli/output.ts';
import { renderStatus } from '../src/cli/status.ts';
import { type Clock, systemClock } from '../src/clock.ts';
import { type Config, loadConfig } from '../src/config.ts';
import { startRecordedProvider } from '../src/provider/server.ts';
import { createKey } from '../src/registry/keys.ts';
import { loadRegistry } from '../src/registry/load.ts';
import { openStore, type Store } from '../src/store/client.ts';
import { ROLES, startSystem } from '../src/system.ts';
import { type Fleet, providerRecords, type Truth } from './fleet.ts';
import { type FleetFiles, writeFleetFiles } from './fleet-files.ts';
import { llmdriftLoop } from './llmdrift.ts';
import { northwind } from './northwind.ts';
import { type Page, startPager } from './pager.ts';
import { playFleet } from './player.ts';
import { createTimeline, type Timeline } from './timeline.ts';

export interface DemoOptions {
  exit: boolean;
  json: boolean;
  seed: number;
  /** LLMDrift's CSV, to play in the role of dependency-bump. */
  data?: string;
}

const PAGER_SECRET = 'northwind-pager';
const KEPT_FOLDER = '.loopscope/demo';

/** Plays the story and resolves with the exit code: 0 when it went as it should. */
export async function runDemo(options: DemoOptions): Promise<number> {
  const clock = systemClock();
  const fleet = castFleet(options);
  const timeline = createTimeline(clock, options.json ? process.stderr : process.stdout);
  const interrupted = untilInterrupted();
  const stopped = new AbortController();
  interrupted.then(() => stopped.abort());

  const folder = prepareFolder(options);
  const undo: (() => Promise<void> | void)[] = [];
  if (options.exit) undo.push(() => rmSync(folder, { recursive: true, force: true }));
  try {
    const calls = fleet.loops.reduce(
      (n, loop) => n + loop.runs.reduce((m, run) => m + run.calls.length, 0),
      0,
    );
    timeline.tell(
      `Northwind's fleet: ${fleet.loops.length} loops, ${countRuns(fleet)} runs, ${calls} model calls (seed ${options.seed})`,
    );
    const provider = await startRecordedProvider({ records: providerRecords(fleet), port: 0, latency: 0 });
    undo.push(() => provider.close());
    const pages: Page[] = [];
    const pager = await startPager(PAGER_SECRET, (page) => {
      pages.push(page);
      timeline.tell(`PAGE${page.signed ? '' : ' (signature wrong!)'}: ${page.body.text}`, ['bold', 'red']);
    });
    undo.push(() => pager.close());

    const files = writeFleetFiles(fleet, folder);
    const config = writeConfig(folder, { providerUrl: provider.url, pagerUrl: pager.url });
    const log = pino({ level: 'warn' }, pino.destination(join(folder, 'loopscope.log')));
    const system = await startSystem({ config, roles: ROLES, clock, log });
    undo.push(() => system.close());
    writeEndpoints(config.data_dir, { pid: process.pid, ...system.endpoints });
    undo.push(() => removeEndpoints(config.data_dir, process.pid));
    const { gateway, collector, clickhouse } = system.endpoints;
    timeline.tell(`ready gateway=${gateway} collector=${collector} clickhouse=${clickhouse}`);

    const store = openStore({ url: clickhouse! });
    undo.push(() => store.close());
    const keys = await setUp(fleet, files, store, clock);
    timeline.tell('golden data imported, a virtual key for each loop made; the loops begin');

    await play(fleet, { gatewayUrl: gateway!, keys, timeline, signal: stopped.signal });
    timeline.tell('the traffic is over; waiting until every run is scored');
    await system.settled();
    timeline.tell(
      `everything is scored and looked at; ${pages.length} page${pages.length === 1 ? '' : 's'} went out`,
    );

    const outcome = await readOutcome(fleet.truth, { store, config, clock });
    if (options.json) process.stdout.write(`${JSON.stringify(outcome)}\n`);
    else tellOutcome(outcome, files, config, options);
    if (!options.exit) await Promise.race([interrupted, system.failed]);
    return wentAsItShould(outcome) ? 0 : 1;
  } catch (error) {
    if (stopped.signal.aborted) return 130;
    throw error;
  } finally {
    for (const step of undo.reverse()) await step();
  }
}

/** A folder that is there to look at afterwards, or a temporary one where there is no afterwards. */
function prepareFolder({ exit }: DemoOptions): string {
  if (exit) return mkdtempSync(join(tmpdir(), 'loopscope-demo-'));
  rmSync(KEPT_FOLDER, { recursive: true, force: true });
  mkdirSync(KEPT_FOLDER, { recursive: true });
  return KEPT_FOLDER;
}

/** Northwind's fleet, with one loop exchanged where real answers are to be played. */
function castFleet({ data, seed }: DemoOptions): Fleet {
  const fleet = northwind(seed);
  if (data === undefined) return fleet;
  const { loop, truth } = llmdriftLoop(data, seed);
  return { truth, loops: fleet.loops.map((l) => (l.definition.loop === truth.loop ? loop : l)) };
}

/** The demo's own `loopscope.yaml`. Nothing of the environment reaches it but the secrets it names. */
function writeConfig(folder: string, urls: { providerUrl: string; pagerUrl: string }): Config {
  const path = join(folder, 'loopscope.yaml');
  const settings = {
    data_dir: 'data',
    clickhouse: { http_port: 0, native_port: 0 },
    gateway: { port: 0 },
    collector: { port: 0, grpc_port: 0 },
    evals: { port: 0, detect_every_s: 2 },
    providers: {
      openai: { base_url: `${urls.providerUrl}/v1`, api_key_env: 'NORTHWIND_PROVIDER_KEY' },
      anthropic: { base_url: urls.providerUrl, api_key_env: 'NORTHWIND_PROVIDER_KEY' },
    },
    // The models that Northwind uses retire in the real world, whatever day the demo is played on.
    model_watch: { notice_days: [] },
    alerts: { webhooks: [{ url: urls.pagerUrl, secret_env: 'NORTHWIND_PAGER_SECRET' }] },
  };
  writeFileSync(path, stringify(settings));
  return loadConfig(path, { NORTHWIND_PROVIDER_KEY: 'any', NORTHWIND_PAGER_SECRET: PAGER_SECRET });
}

const countRuns = (fleet: Fleet): number => fleet.loops.reduce((n, loop) => n + loop.runs.length, 0);

/** Golden data and a key for each loop, as an operator would make them. Gives the keys by loop. */
async function setUp(
  fleet: Fleet,
  files: FleetFiles,
  store: Store,
  clock: Clock,
): Promise<Map<string, string>> {
  const keys = new Map<string, string>();
  for (const { definition, dataset } of fleet.loops) {
    await importGolden({ store, clock }, { path: files.golden.get(dataset)!, dataset });
    keys.set(definition.loop, (await createKey(store, clock, { loop: definition.loop })).secret);
  }
  return keys;
}

interface Stage {
  gatewayUrl: string;
  keys: ReadonlyMap<string, string>;
  timeline: Timeline;
  signal: AbortSignal;
}

async function play(fleet: Fleet, { gatewayUrl, keys, timeline, signal }: Stage): Promise<void> {
  const { truth } = fleet;
  await playFleet(fleet, {
    gatewayUrl,
    keys: (loop) => keys.get(loop)!,
    signal,
    onProgress: ({ loop, runsDone, fleetRunsDone, fleetRuns }) => {
      timeline.progress(`${fleetRunsDone} of ${fleetRuns} runs played`);
      if (loop === truth.loop && runsDone === truth.change_at_run)
        timeline.tell(
          `the model behind ${truth.loop} is retired: ${truth.from} is gone, ${truth.to} answers under its name (run ${truth.change_at_run})`,
          'yellow',
        );
    },
  });
}

type Outcome = Awaited<ReturnType<typeof readOutcome>>;

/** The documents of `alerts --json` and `status --json` in one, and what really happened. */
async function readOutcome(
  truth: Truth,
  { store, config, clock }: { store: Store; config: Config; clock: Clock },
) {
  const status = await statusDocument({
    store,
    registry: loadRegistry(config.directory),
    suites: loadSuites(config.directory),
    now: clock.now(),
    runIdleMs: config.evals.run_idle_s * 1000,
  });
  return { ...(await alertsDocument(store)), ...status, truth };
}

function wentAsItShould({ alerts, truth }: Outcome): boolean {
  const [alert] = alerts;
  return alerts.length === 1 && alert!.loop === truth.loop && alert!.cause?.to === truth.to;
}

function tellOutcome(outcome: Outcome, files: FleetFiles, config: Config, { exit }: DemoOptions): void {
  const out = createOutput(process.stdout, process.stderr, () => true);
  out.line();
  for (const line of renderStatus(outcome, out.paint)) out.line(line);
  out.line();
  out.line(
    wentAsItShould(outcome)
      ? `One loop of ${outcome.loops.length} failed silently, and one alert says so.`
      : `This is not how it should end: expected one alert, about ${outcome.truth.loop}; there are ${outcome.alerts.length}.`,
  );
  if (exit) return;
  const command = `npm run loopscope -- --config ${relative('.', config.path!)}`;
  out.line('\nLook around (in another terminal; Ctrl-C here ends it):');
  const steps = [
    ['status', 'the fleet'],
    ['alerts', 'what was raised, and the evidence'],
    [`runs --loop ${outcome.truth.loop}`, 'its runs; `trace RUN` shows one as a tree'],
    [`backtest ${relative('.', files.runs)}`, 'the same history through the detector alone'],
  ] as const;
  const width = Math.max(...steps.map(([what]) => what.length));
  for (const [what, why] of steps) out.line(`  ${command} ${what.padEnd(width)}  # ${why}`);
}
