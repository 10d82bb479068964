import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { loadRecording } from '../../src/replay/record/load.ts';
import type { Recording } from '../../src/replay/recording.ts';
import { replaysOf } from '../../src/store/replays.ts';
import { openDesk } from '../support/desk.ts';
import { until } from '../support/until.ts';

/**
 * Two small real loops, with OpenAI's and with Anthropic's SDK, recorded through the real gateway and played again in every
 * mode: as recorded conversations, and by their own unchanged code.
 */
const LOOPS = {
  openai: { file: join(import.meta.dirname, '../loops/openai-desk.ts'), calls: 4 },
  anthropic: { file: join(import.meta.dirname, '../loops/anthropic-desk.ts'), calls: 4 },
};
const ANSWER = 'Order 7 is three days late; it comes on Friday.';

let desk: Awaited<ReturnType<typeof openDesk>>;
before(async () => {
  desk = await openDesk();
  process.env['LOOP_LOG'] = desk.log;
  assert.equal(
    (await desk.cli('golden', 'import', join(desk.folder, 'golden.jsonl'), '--dataset', 'desk')).code,
    0,
  );
});
after(async () => {
  delete process.env['LOOP_LOG'];
  await desk?.close();
});

interface Report {
  replay: string;
  trace: string;
  outcome: string;
  calls: number;
  matched: number;
  skipped: number;
  near: unknown[];
  divergences: { kind: string; message: string; step: number | null }[];
  output: string | null;
  verdict: { before: boolean | null; after: boolean | null };
  golden: { before: number | null; after: number | null };
  cost_usd: { before: number | null; after: number | null };
}

async function replay(code: number, ...argv: string[]): Promise<Report> {
  const result = await desk.cli('replay', '--json', ...argv);
  assert.equal(result.code, code, `${result.stdout}\n${result.stderr}`);
  return (JSON.parse(result.stdout) as { replays: Report[] }).replays[0]!;
}

for (const [sdk, { file, calls }] of Object.entries(LOOPS))
  describe(`a loop with the SDK of ${sdk}`, () => {
    const run = `r-${sdk}`;
    const node = [process.execPath, file];
    let recording: Recording;
    let asked = 0;

    before(async () => {
      assert.match(await desk.runLoop(file, run), /comes on Friday/);
      await desk.system.settled();
      recording = await until('the recording of the run', async () => {
        const found = await loadRecording(desk.store, { loop: 'desk', runId: run });
        return (
          found?.state === 'ended' &&
          found.steps.filter(({ kind }) => kind === 'call').length === calls &&
          found
        );
      });
      desk.carriedOut();
      asked = desk.provider.asked.length;
    });
    const freshCalls = () => desk.provider.asked.length - asked;

    test('is recorded whole', () => {
      assert.deepEqual(recording.gaps, []);
      assert.deepEqual(
        recording.steps.map((step) =>
          step.kind === 'tool' ? `tool ${step.tool}` : `${step.kind} ${step.agent}`,
        ),
        [
          'call maker',
          'tool look_up_order',
          'tool ask_researcher',
          'call researcher',
          'call maker',
          'call reviewer',
          'verdict reviewer',
          'effect ',
        ],
      );
      assert.deepEqual(recording.verdict, { pass: true, checker: 'reviewer' });
    });

    test('exact: its own code takes the same way, and no model is called', async () => {
      const report = await replay(0, run, '--loop', 'desk', '--strict', '--', ...node);
      assert.deepEqual([report.outcome, report.matched, report.skipped], ['done', calls, 0]);
      assert.deepEqual(report.divergences, []);
      assert.equal(report.output, ANSWER);
      assert.deepEqual(report.verdict, { before: true, after: true });
      assert.equal(report.golden.after, 1);
      assert.equal(report.cost_usd.after, 0);
      assert.equal(freshCalls(), 0);
      assert.deepEqual(desk.carriedOut(), ['look_up_order {"id":7}']);
    });

    test('model: models are called anew, and what comes is a run of its own that counts nowhere', async () => {
      const counted = () =>
        desk.store.query('SELECT loop, run_id, effects, cost_usd FROM loopscope.runs ORDER BY loop, run_id');
      const runs = await counted();
      const report = await replay(0, run, '--loop', 'desk', '--mode', 'model', '--', ...node);
      assert.deepEqual([report.outcome, report.calls, report.skipped], ['done', calls, 0]);
      assert.equal(freshCalls(), calls);
      assert.equal(report.verdict.after, true);
      assert.ok(report.cost_usd.after! > 0);
      await desk.system.settled();
      const played = await until('the replay', async () => {
        const found = await loadRecording(desk.store, { traceId: report.trace });
        return found && found.steps.filter(({ kind }) => kind === 'call').length === calls && found;
      });
      assert.deepEqual([played.run, played.replayOf, played.loop], [report.replay, run, 'desk']);
      assert.deepEqual(played.verdict, { pass: true, checker: 'reviewer' });
      assert.deepEqual(await counted(), runs);
      const [row] = await replaysOf(desk.store, 'desk', run);
      assert.equal(row?.replayId, report.replay);
      assert.deepEqual(
        [row?.mode, row?.drivenBy, row?.checkerPass, row?.goldenScore],
        ['model', 'loop', true, 1],
      );
      desk.carriedOut();
    });

    test('a tool that is not marked safe is not called: the answer that asks for it is withheld', async () => {
      const mode = sdk === 'openai' ? 'model' : 'live';
      const argv = [run, '--loop', 'desk', '--mode', mode, '--model', 'rash', '--', ...node];
      const report = await replay(1, ...argv);
      assert.equal(report.outcome, 'stopped');
      const withheld = report.divergences.find(({ kind }) => kind === 'tool_withheld');
      assert.match(withheld?.message ?? '', /"close_ticket" is not marked safe/);
      assert.deepEqual(desk.carriedOut(), []);
    });

    test('the recorded conversation: exact, with another model, and live', async () => {
      asked = desk.provider.asked.length;
      const exact = await replay(0, run, '--loop', 'desk', '--strict');
      assert.deepEqual([exact.outcome, exact.matched, exact.output], ['done', calls, ANSWER]);
      assert.equal(freshCalls(), 0);
      const vague = await replay(0, run, '--loop', 'desk', '--model', 'vague');
      assert.equal(freshCalls(), calls);
      assert.equal(vague.output, 'It is on its way.');
      assert.deepEqual(vague.verdict, { before: true, after: false }, 'the checker reads the fresh answer');
      assert.equal(vague.golden.after, 0);
      const live = await replay(0, run, '--loop', 'desk', '--mode', 'live');
      assert.deepEqual([live.outcome, live.output, live.golden.after], ['done', ANSWER, 1]);
      assert.deepEqual(desk.commanded(), ['{"id":7}'], 'what the researcher says is no tool’s to carry out');
      const rash = await replay(1, run, '--loop', 'desk', '--mode', 'live', '--model', 'rash');
      assert.deepEqual(
        rash.divergences.map(({ kind }) => kind),
        ['other_tool', 'tool_withheld'],
      );
      const own = await replay(0, run, '--loop', 'desk', '--model', 'vague', '--', ...node);
      assert.deepEqual([own.output, own.verdict.after, own.skipped], ['It is on its way.', false, 0]);
      desk.carriedOut();
      const until2 = await replay(0, run, '--loop', 'desk', '--until', '2');
      assert.deepEqual([until2.outcome, until2.calls], ['until', 1]);
      assert.deepEqual(desk.carriedOut(), [], 'nothing of this is the loop’s own doing');
      const trace = await desk.cli('trace', exact.replay, '--json');
      const { runs, spans } = JSON.parse(trace.stdout) as { runs: unknown; spans: { kind: string }[] };
      assert.deepEqual(runs, [{ loop: 'desk', run: exact.replay }]);
      assert.equal(spans[0]?.kind, 'run');
      assert.equal((await desk.cli('diff', run, vague.replay, '--json')).code, 1);
    });
  });
