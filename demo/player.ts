import { Pool } from 'undici';
import { type Fleet, type FleetCall, type FleetLoop, type FleetRun, fillIn } from './fleet.ts';
import { type Asked, readAnswer, requestBody } from './speak.ts';

/** Plays a fleet's traffic through the gateway, as its loops would send it. */

export interface PlayOptions {
  gatewayUrl: string;
  /** The virtual key of an agent of a loop. */
  keys: (loop: string, agent: string) => string;
  /** Told after every run. */
  onProgress?: (progress: Progress) => void;
  signal?: AbortSignal;
  /** Loops that play at the same time. */
  concurrency?: number;
}

export interface Progress {
  loop: string;
  /** Of this loop. */
  runsDone: number;
  runs: number;
  /** Of the whole fleet. */
  fleetRunsDone: number;
  fleetRuns: number;
}

export interface Played {
  runs: number;
  calls: number;
  /** Calls and statements that were tried again after a 503. */
  retried: number;
}

const CONCURRENCY = 6;

/**
 * Plays every run of every loop: a loop's runs one after the other, several loops at a time, the longest first.
 * Throws when a call fails (a 503 is tried once more), saying which and what came, and then plays nothing more.
 */
export async function playFleet(fleet: Pick<Fleet, 'loops'>, options: PlayOptions): Promise<Played> {
  const concurrency = options.concurrency ?? CONCURRENCY;
  const stop = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal;
  // A run says its verdict and its effects at once.
  const pool = new Pool(new URL(options.gatewayUrl).origin, { connections: 2 * concurrency });
  const played: Played = { runs: 0, calls: 0, retried: 0 };
  const fleetRuns = fleet.loops.reduce((sum, loop) => sum + loop.runs.length, 0);
  const stage: Stage = { pool, signal, keys: options.keys, played };

  const waiting = fleet.loops.toSorted((a, b) => requests(b) - requests(a));
  const lane = async () => {
    for (let loop = waiting.shift(); loop; loop = waiting.shift())
      for (const [index, run] of loop.runs.entries()) {
        signal.throwIfAborted();
        await playRun(stage, loop, run);
        played.runs++;
        const runs = loop.runs.length;
        const name = loop.definition.loop;
        options.onProgress?.({
          loop: name,
          runsDone: index + 1,
          runs,
          fleetRunsDone: played.runs,
          fleetRuns,
        });
      }
  };
  try {
    await Promise.all(Array.from({ length: concurrency }, lane));
  } catch (error) {
    // The other lanes stop too, before their connections go.
    stop.abort(error);
    throw error;
  } finally {
    await pool.destroy();
  }
  return played;
}

interface Stage {
  pool: Pool;
  signal: AbortSignal;
  keys: PlayOptions['keys'];
  played: Played;
}

/** How many requests a loop makes, about. */
const requests = (loop: FleetLoop) => loop.runs.reduce((sum, run) => sum + run.calls.length + 2, 0);

async function playRun(stage: Stage, loop: FleetLoop, run: FleetRun): Promise<void> {
  const answers = new Map<string, string>();
  for (const call of run.calls) {
    answers.set(call.agent, await playCall(stage, loop, run, call, answers));
    stage.played.calls++;
  }
  const say = (kind: string, body: object) => state(stage, loop, run, kind, body);
  await Promise.all([
    run.verdict && say('verdict', run.verdict),
    run.effects.length > 0 && say('effects', { effects: run.effects }),
  ]);
  await say('end', { outcome: 'ok' });
}

async function playCall(
  stage: Stage,
  loop: FleetLoop,
  run: FleetRun,
  call: FleetCall,
  answers: ReadonlyMap<string, string>,
): Promise<string> {
  const name = loop.definition.loop;
  const key = stage.keys(name, call.agent);
  const asked: Asked = {
    path: call.protocol === 'openai' ? '/v1/chat/completions' : '/anthropic/v1/messages',
    headers: {
      ...(call.protocol === 'openai'
        ? { authorization: `Bearer ${key}` }
        : { 'x-api-key': key, 'anthropic-version': '2023-06-01' }),
      'x-loop-run': run.run,
      'x-loop-agent': call.agent,
      ...(call.parentAgent && { 'x-loop-parent-agent': call.parentAgent }),
      ...(loop.matchedBy === 'item' && { 'x-loop-item': run.item }),
    },
    body: requestBody(call, fillIn(call.input, answers)),
  };
  const what = `${name}, run ${run.run}, ${call.agent}`;
  const text = await post(stage, asked, what);
  return readAnswer(call, text, what);
}

/** Tells the gateway something of a run. */
async function state(
  stage: Stage,
  loop: FleetLoop,
  run: FleetRun,
  kind: string,
  body: object,
): Promise<void> {
  const name = loop.definition.loop;
  const key = stage.keys(name, loop.definition.agents[0]!.name);
  const path = `/loops/${name}/runs/${run.run}/${kind}`;
  const asked = { path, headers: { authorization: `Bearer ${key}` }, body };
  await post(stage, asked, `${name}, run ${run.run}, ${kind}`);
}

/** How much of a refusal is quoted. */
const QUOTED_MAX = 500;

async function post({ pool, signal, played }: Stage, { path, headers, body }: Asked, what: string) {
  for (let attempt = 1; ; attempt++) {
    const response = await pool.request({
      method: 'POST',
      path,
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
      signal,
    });
    const text = await response.body.text();
    if (response.statusCode < 300) return text;
    if (response.statusCode !== 503 || attempt === 2)
      throw new Error(
        `${what}: POST ${path} gave ${response.statusCode}${attempt > 1 ? ' twice' : ''}: ${text.slice(0, QUOTED_MAX)}`,
      );
    played.retried++;
  }
}
