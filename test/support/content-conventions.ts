/**
 * A conversation as each convention puts it on a span: names and shapes as their documents have them, the texts the
 * caller's. Turns are the user's and the model's in turn, the last one the answer.
 */
export interface Convention {
  /** Its first words name who speaks so. */
  name: string;
  /** The same conversation some turns later is sent with all its turns again. */
  resends: boolean;
  call(turns: readonly string[]): Told;
}

export interface Told {
  name: string;
  attributes: Record<string, string>;
  events: { name: string; attributes: Record<string, string> }[];
}

type Attributes = Record<string, string>;

const told = (attributes: Attributes, events: Told['events'] = [], name = 'span'): Told => ({
  name,
  attributes,
  events,
});

const roleAt = (i: number) => (i % 2 === 0 ? 'user' : 'assistant');
const asked = (turns: readonly string[]) => turns.slice(0, -1);
const answer = (turns: readonly string[]) => turns.at(-1)!;
const simple = (turns: readonly string[]) => turns.map((content, i) => ({ role: roleAt(i), content }));
const parts = (turns: readonly string[]) =>
  turns.map((content, i) => ({ role: roleAt(i), parts: [{ type: 'text', content }] }));
/** As Python writes it. */
const spaced = (value: unknown) => JSON.stringify(value).replaceAll('},{', '}, {');

function numbered(prefix: string, infix: string, turns: readonly string[], from = 0): Attributes {
  const attributes: Attributes = {};
  for (const [i, content] of turns.entries()) {
    attributes[`${prefix}.${i}.${infix}role`] = roleAt(from + i);
    attributes[`${prefix}.${i}.${infix}content`] = content;
  }
  return attributes;
}

export const conventions: readonly Convention[] = [
  {
    name: 'OpenTelemetry',
    resends: true,
    call: (turns) =>
      told({
        'gen_ai.operation.name': 'chat',
        'gen_ai.provider.name': 'openai',
        'gen_ai.system_instructions': JSON.stringify([{ type: 'text', content: `${turns[0]} (system)` }]),
        'gen_ai.tool.definitions': JSON.stringify([{ type: 'function', name: `${turns[0]} (tool)` }]),
        'gen_ai.input.messages': JSON.stringify(parts(asked(turns))),
        'gen_ai.output.messages': JSON.stringify([
          { role: 'assistant', parts: [{ type: 'text', content: answer(turns) }] },
        ]),
      }),
  },
  {
    name: 'OpenTelemetry, a tool',
    resends: false,
    call: (turns) =>
      told({
        'gen_ai.operation.name': 'execute_tool',
        'gen_ai.tool.call.arguments': JSON.stringify({ command: turns[0] }),
        'gen_ai.tool.call.result': answer(turns),
      }),
  },
  {
    name: 'OpenTelemetry before 1.37, an event a message',
    resends: true,
    call: (turns) =>
      told({ 'gen_ai.system': 'openai', 'gen_ai.request.model': 'gpt-4o' }, [
        {
          name: 'gen_ai.system.message',
          attributes: { 'gen_ai.system': 'openai', content: `${turns[0]} (system)` },
        },
        ...asked(turns).map((content, i) => ({
          name: `gen_ai.${roleAt(i)}.message`,
          attributes: { 'gen_ai.system': 'openai', content },
        })),
        {
          name: 'gen_ai.choice',
          attributes: {
            index: '0',
            finish_reason: 'stop',
            message: JSON.stringify({ content: answer(turns) }),
          },
        },
      ]),
  },
  {
    name: 'OpenTelemetry before 1.37, an event a side',
    resends: true,
    call: (turns) =>
      told({ 'gen_ai.system': 'openai', 'gen_ai.request.model': 'gpt-4o' }, [
        { name: 'gen_ai.content.prompt', attributes: { 'gen_ai.prompt': spaced(simple(asked(turns))) } },
        {
          name: 'gen_ai.content.completion',
          attributes: { 'gen_ai.completion': spaced([{ role: 'assistant', content: answer(turns) }]) },
        },
      ]),
  },
  {
    name: "OpenTelemetry's event of a whole call",
    resends: true,
    call: (turns) =>
      told({ 'gen_ai.operation.name': 'chat' }, [
        {
          name: 'gen_ai.client.inference.operation.details',
          attributes: {
            'gen_ai.operation.name': 'chat',
            'gen_ai.input.messages': JSON.stringify(parts(asked(turns))),
            'gen_ai.output.messages': JSON.stringify(parts(turns).slice(-1)),
          },
        },
      ]),
  },
  {
    name: 'OpenLLMetry',
    resends: true,
    call: (turns) =>
      told({
        'gen_ai.system': 'OpenAI',
        'llm.request.type': 'chat',
        'llm.request.functions.0.name': `${turns[0]} (tool)`,
        ...numbered('gen_ai.prompt', '', asked(turns)),
        ...numbered('gen_ai.completion', '', turns.slice(-1), turns.length - 1),
        'gen_ai.completion.0.finish_reason': 'stop',
      }),
  },
  {
    name: 'OpenLLMetry, a workflow',
    resends: true,
    call: (turns) =>
      told({
        'traceloop.span.kind': 'workflow',
        'traceloop.entity.input': spaced({
          inputs: { messages: simple(asked(turns)) },
          tags: [],
          kwargs: {},
        }),
        'traceloop.entity.output': JSON.stringify(answer(turns)),
      }),
  },
  {
    name: 'OpenInference',
    resends: true,
    call: (turns) =>
      told({
        'openinference.span.kind': 'LLM',
        'input.value': spaced({ model: 'gpt-4o', messages: simple(asked(turns)), temperature: 0 }),
        'input.mime_type': 'application/json',
        'output.value': JSON.stringify({ choices: [{ index: 0, message: { content: answer(turns) } }] }),
        'llm.invocation_parameters': JSON.stringify({ model: 'gpt-4o', system: `${turns[0]} (system)` }),
        'llm.tools.0.tool.json_schema': JSON.stringify({ name: `${turns[0]} (tool)` }),
        ...numbered('llm.input_messages', 'message.', asked(turns)),
        ...numbered('llm.output_messages', 'message.', turns.slice(-1), turns.length - 1),
      }),
  },
  {
    name: 'OpenInference, LangChain',
    resends: true,
    call: (turns) =>
      told({
        'openinference.span.kind': 'CHAIN',
        'input.value': JSON.stringify({
          messages: [simple(asked(turns)).map((kwargs) => ({ lc: 1, kwargs }))],
        }),
        'output.value': answer(turns),
      }),
  },
  {
    name: 'OpenInference, documents',
    resends: false,
    call: (turns) =>
      told({
        'openinference.span.kind': 'RETRIEVER',
        'input.value': turns[0]!,
        'retrieval.documents.0.document.content': answer(turns),
        'retrieval.documents.0.document.score': '0.5',
      }),
  },
  {
    name: 'AI SDK',
    resends: true,
    call: (turns) =>
      told({
        'ai.operationId': 'ai.generateText.doGenerate',
        'ai.prompt.messages': JSON.stringify(simple(asked(turns))),
        'ai.prompt.tools': JSON.stringify([JSON.stringify({ type: 'function', name: `${turns[0]} (tool)` })]),
        'ai.response.text': answer(turns),
        'ai.response.toolCalls': JSON.stringify([{ toolName: 'factor', input: answer(turns) }]),
      }),
  },
  {
    name: 'AI SDK, around its calls',
    resends: true,
    call: (turns) =>
      told({
        'ai.operationId': 'ai.generateObject',
        'ai.prompt': JSON.stringify({ system: `${turns[0]} (system)`, messages: simple(asked(turns)) }),
        'ai.schema': JSON.stringify({ description: `${turns[0]} (schema)` }),
        'ai.response.object': JSON.stringify({ answer: answer(turns) }),
      }),
  },
  {
    name: 'Claude Code, a prompt',
    resends: false,
    call: (turns) =>
      told({ 'span.type': 'interaction', user_prompt: turns[0]! }, [], 'claude_code.interaction'),
  },
  {
    name: 'Claude Code, a call',
    resends: false,
    call: (turns) =>
      told(
        { 'gen_ai.system': 'anthropic', new_context: turns[0]!, 'response.model_output': answer(turns) },
        [],
        'claude_code.llm_request',
      ),
  },
  {
    name: 'Claude Code, a tool',
    resends: false,
    call: (turns) =>
      told(
        { tool_name: 'Bash', full_command: turns[0]!, tool_input: JSON.stringify({ command: turns[0] }) },
        [{ name: 'tool.output', attributes: { bash_command: turns[0]!, output: answer(turns) } }],
        'claude_code.tool',
      ),
  },
  {
    name: "Google's ADK",
    resends: true,
    call: (turns) =>
      told({
        'gen_ai.system': 'gcp.vertex.agent',
        'gcp.vertex.agent.llm_request': spaced({
          model: 'gemini-3-pro',
          contents: asked(turns).map((text, i) => ({ role: roleAt(i), parts: [{ text }] })),
        }),
        'gcp.vertex.agent.llm_response': JSON.stringify({ content: { parts: [{ text: answer(turns) }] } }),
      }),
  },
  {
    name: 'Pydantic AI',
    resends: true,
    call: (turns) =>
      told({
        'gen_ai.operation.name': 'invoke_agent',
        'pydantic_ai.all_messages': JSON.stringify(parts(asked(turns))),
        final_result: answer(turns),
      }),
  },
];
