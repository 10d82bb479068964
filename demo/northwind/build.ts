import { SuiteDefinition } from '../../evals/suite.ts';
import { contentHash } from '../../src/records/normalize.ts';
import type { RunRecord } from '../../src/records/record.ts';
import { LoopDefinition } from '../../src/registry/loop.ts';
import {
  answerOf,
  type FleetCall,
  type FleetLoop,
  type FleetRun,
  fillIn,
  type GoldenItem,
} from '../fleet.ts';
import { type Draw, drawFor } from './draw.ts';
import type { LoopPlan, Phase, Task } from './plan.ts';

/**
 * From a plan to a loop: draws its tasks, whether each answer is right and whether the checker passes it. These
 * are independent draws with the plan's probabilities; nothing is arranged for whoever watches.
 */

/** The records of all loops end here. */
const RECORDS_END_MS = Date.UTC(2026, 9, 1);
const HOUR_MS = 3_600_000;

/** The false-alarm setting of the fleet: a million quiet runs. With a shorter one, ten quiet loops may not stay quiet. */
const ARL = 1_000_000;

export interface BuiltLoop extends FleetLoop {
  /** The run at which the second phase begins, where there is one. */
  turn: number | undefined;
}

/** Draws a loop. The same plan and seed give the same loop. */
export function buildLoop(plan: LoopPlan, seed: number): BuiltLoop {
  const draw = drawFor(seed, plan.loop);
  const { runs, turn } = plan.size(draw);
  const cases = plan.golden.matchedBy === 'item' ? drawCases(plan, draw, plan.golden.cases) : ([] as Case[]);
  const golden: GoldenItem[] = cases.map((c) => c.item);
  const played: FleetRun[] = [];
  for (let index = 0; index < runs; index++) {
    const reference = plan.reference(index);
    let work: Case;
    if (plan.golden.matchedBy === 'item') work = draw.pick(cases as [Case, ...Case[]]);
    else {
      work = toCase(plan.task(draw, reference), reference);
      golden.push(work.item);
    }
    const phase = turn !== undefined && index >= turn ? plan.phases.at(-1)! : plan.phases[0];
    const startMs = RECORDS_END_MS - (runs - index) * plan.everyHours * HOUR_MS;
    played.push(buildRun({ plan, draw, phase, reference, work, startMs, run: runName(seed, index) }));
  }
  return {
    definition: definition(plan),
    suite: SuiteDefinition.parse({
      suite: `${plan.loop}-golden`,
      loop: plan.loop,
      dataset: plan.loop,
      scorer: plan.scorer,
      schedule: '*/2 * * * * *',
      sample: { runs_per_day: 100_000 },
      detector: { arl: ARL },
    }),
    dataset: plan.loop,
    golden,
    matchedBy: plan.golden.matchedBy,
    runs: played,
    story: plan.story,
    turn,
  };
}

/** A run id that no other seed uses. */
export const runName = (seed: number, index: number) => `s${seed}-${String(index).padStart(4, '0')}`;

interface Case {
  task: Task;
  item: GoldenItem;
}

const toCase = (task: Task, id: string): Case => ({
  task,
  item: { id: id.replace(/[^A-Za-z0-9]+/g, '-').toLowerCase(), input: task.input, expected: task.expected },
});

function drawCases(plan: LoopPlan, draw: Draw, count: number): Case[] {
  const byInput = new Map<string, Case>();
  while (byInput.size < count) {
    const id = `${plan.loop}-${byInput.size + 1}`;
    const task = plan.task(draw, id);
    if (!byInput.has(task.input)) byInput.set(task.input, toCase(task, id));
  }
  return [...byInput.values()];
}

interface RunDraft {
  plan: LoopPlan;
  draw: Draw;
  phase: Phase;
  reference: string;
  work: Case;
  startMs: number;
  run: string;
}

function buildRun({ plan, draw, phase, reference, work, startMs, run }: RunDraft): FleetRun {
  const { task, item } = work;
  const right = draw.chance(phase.accuracy);
  const pass = draw.chance(right ? plan.checker.passes.right : plan.checker.passes.wrong);
  const calls: FleetCall[] = [];
  const answers = new Map<string, string>();
  let atMs = startMs;

  const call = (
    parts: Omit<FleetCall, 'record'>,
    served: string,
    output: string,
    more?: Partial<RunRecord>,
  ) => {
    const input = fillIn(parts.input, answers);
    const { parentAgent, system = '' } = parts;
    const outputTokens = tokens(output);
    const latencyMs = 250 + draw.int(0, 200) + 11 * outputTokens;
    const record: RunRecord = {
      loop: plan.loop,
      run,
      ts: new Date(atMs).toISOString(),
      agent: parts.agent,
      ...(parentAgent && { parent_agent: parentAgent }),
      model: parts.model,
      served_model: served,
      prompt_version: contentHash(system).slice(0, 12),
      ...more,
      input,
      output,
      item: item.id,
      input_tokens: tokens(system) + tokens(input),
      output_tokens: outputTokens,
      latency_ms: latencyMs,
    };
    calls.push({ ...parts, record });
    answers.set(parts.agent, output);
    atMs += latencyMs;
  };

  const helpers = plan.subs.filter((sub) => draw.chance(sub.share));
  for (const { agent, protocol, model, served, ask, answer } of helpers)
    call(
      {
        agent,
        parentAgent: plan.maker.agent,
        role: 'sub',
        protocol,
        model,
        stream: false,
        system: `You are ${agent}, who helps ${plan.loop}.`,
        input: `${reference}: ${ask(task)}`,
      },
      served,
      answer(task, draw),
    );

  const { agent, protocol, model, stream } = plan.maker;
  // A golden item that is met by its input must be asked exactly as it stands in the golden data.
  const briefing = helpers.map((sub) => `\n\n${sub.agent} says: ${answerOf(sub.agent)}`).join('');
  const input = plan.golden.matchedBy === 'input' ? task.input : `${reference}\n\n${task.input}${briefing}`;
  const output = draw.pick(right ? task.right : task.wrong);
  call({ agent, role: 'maker', protocol, model, stream, system: phase.system, input }, phase.served, output);

  const { checker } = plan;
  if (checker.kind === 'model') {
    const { rule: _, instruction, ...says } = checker.says;
    call(
      {
        agent: checker.agent,
        role: 'checker',
        protocol: checker.protocol,
        model: checker.model,
        stream: false,
        system: `You review the work of ${plan.loop}. ${instruction}`,
        input: `${reference}, ${task.subject}. The answer to review:\n\n${answerOf(agent)}`,
      },
      checker.served,
      draw.pick(pass ? says.pass : says.fail),
      { checker: { name: checker.agent, version: '', pass } },
    );
  }

  const { name, share, accepted } = plan.effect;
  const effects = draw.chance(share)
    ? [{ name, accepted: draw.chance(right ? accepted.right : accepted.wrong) }]
    : [];
  return {
    run,
    item: item.id,
    calls,
    ...(checker.kind === 'posted' && { verdict: { pass, checker: checker.agent } }),
    effects,
  };
}

/** About four characters a token, as English text has it. */
const tokens = (text: string) => Math.ceil(text.length / 4);

function definition(plan: LoopPlan): LoopDefinition {
  const { maker, checker } = plan;
  const agents = [
    { name: maker.agent, role: 'maker', models: [maker.model] },
    ...plan.subs.map(({ agent, model }) => ({ name: agent, role: 'sub', models: [model] })),
    checker.kind === 'model'
      ? { name: checker.agent, role: 'checker', models: [checker.model], verdict: checker.says.rule }
      : { name: checker.agent, role: 'checker', models: [] },
  ];
  return LoopDefinition.parse({
    loop: plan.loop,
    owner: plan.owner,
    description: plan.description,
    schedule: plan.schedule,
    agents,
    artifacts: { owns: plan.owns, reads: plan.reads },
    dataset: plan.loop,
    suite: `${plan.loop}-golden`,
    capture: 'full',
  });
}
