import OpenAI from 'openai';
import { MAKER, RESEARCHER, REVIEWER, say, TASK, useTool } from './tools.ts';

/**
 * A small real loop with OpenAI's SDK: a maker that streams and uses tools, a sub-agent in the Responses API, a checker. It
 * knows nothing of replays.
 */
const run = process.env['LOOPSCOPE_RUN'] ?? 'r-1';
const model = process.env['LOOP_MODEL'] ?? 'gpt-4.1';
const client = new OpenAI();
const as = (agent: string, parent?: string) => ({
  headers: {
    'x-loop': 'desk',
    'x-loop-run': run,
    'x-loop-agent': agent,
    ...(parent && { 'x-loop-parent-agent': parent }),
  },
});

const parameters = { type: 'object', properties: {} };
const tools = ['look_up_order', 'ask_researcher', 'close_ticket'].map((name) => ({
  type: 'function' as const,
  function: { name, description: `Use ${name}.`, parameters },
}));

async function research(question: string): Promise<string> {
  const answer = await client.responses.create(
    { model, instructions: RESEARCHER, input: question },
    as('researcher', 'maker'),
  );
  return answer.output_text;
}

const messages: OpenAI.ChatCompletionMessageParam[] = [
  { role: 'system', content: `${MAKER} It is ${new Date().toISOString()}.` },
  { role: 'user', content: TASK },
];
let answer = '';
for (let turn = 0; turn < 5 && answer === ''; turn++) {
  const stream = client.chat.completions.stream(
    { model, messages, tools, temperature: 0.5, stream_options: { include_usage: true } },
    as('maker'),
  );
  const said = (await stream.finalChatCompletion()).choices[0]!.message;
  messages.push(said);
  answer = said.content ?? '';
  const calls = (said.tool_calls ?? []).filter((call) => call.type === 'function');
  // Some loops are lenient about what a model calls its tools.
  const named = calls.map((call) => ({
    id: call.id,
    name: call.function.name.trim().normalize('NFKC').toLowerCase(),
    given: JSON.parse(call.function.arguments) as { question?: string },
  }));
  for (const { id, name, given } of named) {
    const content = name === 'ask_researcher' ? await research(given.question ?? '') : useTool(name, given);
    messages.push({ role: 'tool', tool_call_id: id, content });
  }
  if (calls.length > 0) answer = '';
}

const review = await client.chat.completions.create(
  {
    model,
    messages: [
      { role: 'system', content: REVIEWER },
      { role: 'user', content: `The answer was: ${answer}` },
    ],
  },
  as('reviewer'),
);
await say(run, 'effects', { effects: [{ name: 'answered' }] });
await say(run, 'end', { outcome: 'ok' });
console.log(`${answer} (${review.choices[0]!.message.content})`);
