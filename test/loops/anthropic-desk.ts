import Anthropic from '@anthropic-ai/sdk';
import { MAKER, RESEARCHER, REVIEWER, say, TASK, useTool } from './tools.ts';

/** The same loop with Anthropic's SDK. It knows nothing of replays. */
const run = process.env['LOOPSCOPE_RUN'] ?? 'r-1';
const model = process.env['LOOP_MODEL'] ?? 'claude-sonnet-4';
const client = new Anthropic();
const as = (agent: string, parent?: string) => ({
  headers: {
    'x-loop': 'desk',
    'x-loop-run': run,
    'x-loop-agent': agent,
    ...(parent && { 'x-loop-parent-agent': parent }),
  },
});

const tools = ['look_up_order', 'ask_researcher', 'close_ticket'].map((name) => ({
  name,
  description: `Use ${name}.`,
  input_schema: { type: 'object' as const, properties: {} },
}));

const textOf = ({ content }: Anthropic.Message): string =>
  content.map((block) => (block.type === 'text' ? block.text : '')).join('');

async function ask(
  agent: string,
  parent: string | undefined,
  system: string,
  content: string,
): Promise<string> {
  const answer = await client.messages.create(
    { model, max_tokens: 500, system, messages: [{ role: 'user', content }] },
    as(agent, parent),
  );
  return textOf(answer);
}

const messages: Anthropic.MessageParam[] = [{ role: 'user', content: TASK }];
const system = `${MAKER} It is ${new Date().toISOString()}.`;
let answer = '';
for (let turn = 0; turn < 5 && answer === ''; turn++) {
  const stream = client.messages.stream({ model, max_tokens: 500, system, messages, tools }, as('maker'));
  const said = await stream.finalMessage();
  messages.push({ role: 'assistant', content: said.content });
  const uses = said.content.filter((block) => block.type === 'tool_use');
  if (uses.length === 0) answer = textOf(said);
  const results: Anthropic.ToolResultBlockParam[] = [];
  for (const { id, name, input } of uses) {
    const { question = '' } = input as { question?: string };
    const content =
      name === 'ask_researcher'
        ? await ask('researcher', 'maker', RESEARCHER, question)
        : useTool(name, input);
    results.push({ type: 'tool_result', tool_use_id: id, content });
  }
  if (results.length > 0) messages.push({ role: 'user', content: results });
}

const review = await ask('reviewer', undefined, REVIEWER, `The answer was: ${answer}`);
await say(run, 'effects', { effects: [{ name: 'answered' }] });
await say(run, 'end', { outcome: 'ok' });
console.log(`${answer} (${review})`);
