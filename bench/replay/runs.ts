import { seededRandom } from '../../src/clock.ts';
import type { Message, ModelCall, Part, Recording, Step, ToolCall } from '../../src/replay/recording.ts';
import { recordSpanId, runTraceId } from '../../src/span/ids.ts';

/**
 * Runs made up by a seed: agents one after the other, each with a conversation of its own, in which every answer uses a
 * tool. Histories grow as real ones do, every call is asked with all that came before it.
 */
export interface RunShape {
  run: string;
  agents: number;
  /** Model calls of each agent, and as many uses of tools. */
  turns: number;
  /** Milliseconds of a model call and of a tool. */
  callMs: number;
  toolMs: number;
  startedAt: number;
  /** Which turns go another way than in a run of the same shape; none where not given. */
  isOther?: (turn: number) => boolean;
}

const LOOP = 'bench';
const WORDS =
  'the fare of a flight is due when seat and bag are booked or changed before it leaves from gate'.split(' ');

export function makeRun({
  run,
  agents,
  turns,
  callMs,
  toolMs,
  startedAt,
  isOther = () => false,
}: RunShape): Recording {
  const traceId = runTraceId(LOOP, run);
  const steps: Step[] = [];
  const ids = seededRandom(run.length * 31 + run.charCodeAt(run.length - 1));
  let atMs = 0;
  const next = (durationMs: number, agent: string) => {
    const spanId = recordSpanId(traceId, 'step', String(steps.length));
    const role = agent === 'maker' ? 'maker' : 'sub';
    const parentAgent = agent === 'maker' ? '' : 'maker';
    const step = { spanId, agent, role, parentAgent, atMs, durationMs, error: null } as const;
    atMs += durationMs;
    return step;
  };
  for (let n = 0; n < agents; n++) {
    const agent = n === 0 ? 'maker' : `scout-${n}`;
    const history: Message[] = [text('system', prose(n, 120)), text('user', prose(n + 1, 40))];
    for (let turn = 0; turn < turns; turn++) {
      const place = n * turns + turn;
      const other = isOther(place) ? 1_000_003 : 0;
      const callId = `call_${Array.from({ length: 20 }, () => Math.floor(ids() * 36).toString(36)).join('')}`;
      const args = JSON.stringify({ flight: `HAT${place + other}`, class: 'economy' });
      const result = JSON.stringify({
        flight: `HAT${place}`,
        seats: place % 9,
        note: prose(place + other, 60),
      });
      const use: Part = { type: 'tool_call', id: callId, name: 'search', arguments: args };
      const answer: Message = {
        role: 'assistant',
        parts: [{ type: 'text', content: prose(place * 7 + other, 40) }, use],
        finish_reason: 'tool_calls',
      };
      steps.push({ ...CALL, ...next(callMs, agent), input: [...history], output: [answer] });
      const tool: ToolCall = {
        kind: 'tool',
        ...next(toolMs, agent),
        tool: 'search',
        callId,
        arguments: args,
        result,
      };
      steps.push(tool);
      history.push(answer, {
        role: 'tool',
        parts: [{ type: 'tool_call_response', id: callId, response: result }],
      });
    }
  }
  return { ...RUN, run, traceId, startedAt, durationMs: atMs, steps };
}

const text = (role: string, content: string): Message => ({ role, parts: [{ type: 'text', content }] });

/** So many words, the same for the same seed. */
function prose(seed: number, words: number): string {
  const random = seededRandom(seed);
  return Array.from({ length: words }, () => WORDS[Math.floor(random() * WORDS.length)]).join(' ');
}

const CALL = {
  kind: 'call',
  provider: 'openai',
  api: 'chat_completions',
  stream: false,
  model: 'gpt-4o',
  servedModel: 'gpt-4o-2024-08-06',
  parameters: { temperature: 0 },
  promptVersion: 'p1',
  toolsVersion: 't1',
  toolDefinitions: null,
  finishReasons: ['tool_calls'],
  inputTokens: 900,
  outputTokens: 60,
  costUsd: 0.003,
  firstChunkMs: null,
  pieces: null,
} as const satisfies Partial<ModelCall>;

const RUN = {
  loop: LOOP,
  replayOf: null,
  state: 'ended',
  versions: { model: 'gpt-4o', servedModel: 'gpt-4o-2024-08-06', prompt: 'p1', tools: 't1', checker: null },
  verdict: null,
  goldenScore: null,
  itemId: null,
  inputTokens: null,
  outputTokens: null,
  costUsd: null,
  gaps: [],
} as const satisfies Partial<Recording>;
