import { encodeRequest } from './otlp-proto.ts';

/**
 * Events in the shape in which coding agents send them: names, types and order as Claude Code 2.1.197 was seen to send
 * them (`-p` with one tool call, over OTLP protobuf), and as the sources of Codex and Gemini CLI have them. The values
 * are made up.
 */
type Scalar = string | number | bigint | boolean;

export interface AgentEvent {
  at: bigint;
  body?: string;
  eventName?: string;
  attributes: Record<string, Scalar>;
  traceId?: string;
  spanId?: string;
  flags?: number;
}

const anyValue = (of: Scalar): object => {
  if (typeof of === 'string') return { stringValue: of };
  if (typeof of === 'boolean') return { boolValue: of };
  return typeof of === 'bigint' ? { intValue: of } : { doubleValue: of };
};
const keyValues = (all: Record<string, Scalar>): object[] =>
  Object.entries(all).map(([key, of]) => ({ key, value: anyValue(of) }));

export interface Sender {
  resource: Record<string, Scalar>;
  scope: string;
  events: readonly AgentEvent[];
}

/** As an object of `otlp-proto.ts`. */
export const logsMessage = ({ resource, scope, events }: Sender): object => ({
  resourceLogs: [
    {
      resource: { attributes: keyValues(resource) },
      scopeLogs: [
        {
          scope: { name: scope, version: '1' },
          logRecords: events.map(({ at, body, eventName, attributes, traceId, spanId, flags }) => ({
            timeUnixNano: at,
            observedTimeUnixNano: at,
            ...(body !== undefined && { body: { stringValue: body } }),
            ...(eventName !== undefined && { eventName }),
            attributes: keyValues(attributes),
            ...(traceId !== undefined && { traceId: Buffer.from(traceId, 'hex') }),
            ...(spanId !== undefined && { spanId: Buffer.from(spanId, 'hex') }),
            ...(flags !== undefined && { flags }),
          })),
        },
      ],
    },
  ],
});

export const logsRequest = (sender: Sender): Buffer => encodeRequest('logs', logsMessage(sender));

const SESSION = '1c2cd3cd-7dd4-486f-8e0d-7952de6d4b3e';
const PROMPT = '8859db8b-1508-4599-b2ec-2a844e93dc75';
const T0 = 1_795_387_035_000_000_000n;
const MS = 1_000_000n;

/** A prompt, a call that asks for a tool, the tool, the call that answers, the answer. */
export function claudeCode(service: string, traced?: { traceId: string; spanId: string }): Sender {
  const event = (sequence: bigint, atMs: bigint, name: string, attributes: Record<string, Scalar>) => ({
    at: T0 + atMs * MS,
    body: `claude_code.${name}`,
    ...traced,
    ...(traced && { flags: 1 }),
    attributes: {
      'user.id': 'c23fa634',
      'session.id': SESSION,
      'terminal.type': 'non-interactive',
      'event.name': name,
      'event.sequence': sequence,
      'prompt.id': PROMPT,
      ...attributes,
    },
  });
  const call = { model: 'claude-opus-4-8', speed: 'normal', query_source: 'sdk' };
  return {
    resource: { 'service.name': service, 'service.version': '2.1.197' },
    scope: 'com.anthropic.claude_code.events',
    events: [
      event(0n, 0n, 'user_prompt', { prompt_length: '10', prompt: 'is 7 prime' }),
      event(1n, 600n, 'tool_decision', { decision: 'accept', source: 'config', tool_name: 'Bash' }),
      event(2n, 640n, 'api_request', {
        ...call,
        input_tokens: 12n,
        output_tokens: 20n,
        cache_read_tokens: 100n,
        cache_creation_tokens: 30n,
        cost_usd: 0.5,
        duration_ms: 41n,
        request_id: 'req_1',
      }),
      event(3n, 700n, 'tool_result', {
        tool_name: 'Bash',
        tool_use_id: 'toolu_1',
        success: 'false',
        duration_ms: '69',
        tool_input: '{"command":"factor 7"}',
      }),
      event(4n, 730n, 'api_request', {
        ...call,
        input_tokens: 1n,
        output_tokens: 5n,
        cache_read_tokens: 0n,
        cache_creation_tokens: 0n,
        cost_usd: 0.25,
        duration_ms: 13n,
        request_id: 'req_2',
      }),
      event(5n, 730n, 'assistant_response', { response_length: 4n, response: '7 is', request_id: 'req_2' }),
      event(6n, 900n, 'api_error', {
        ...call,
        error: 'Overloaded',
        status_code: '529',
        duration_ms: 100n,
        attempt: 11n,
      }),
    ],
  };
}
export const CLAUDE_SESSION = SESSION;

/** What `tracing` sends: the event's name in the attribute, a place in the source in the protocol's field. */
export function codex(service: string): Sender {
  const event = (atMs: bigint, name: string, attributes: Record<string, Scalar>) => ({
    at: T0 + atMs * MS,
    eventName: 'event otel/src/events/session_telemetry.rs:721',
    attributes: { 'event.name': `codex.${name}`, 'conversation.id': 'conv-1', model: 'gpt-6', ...attributes },
  });
  return {
    resource: { 'service.name': service },
    scope: 'codex_otel',
    events: [
      event(0n, 'user_prompt', { prompt_length: '10', prompt: '[REDACTED]' }),
      event(50n, 'api_request', { duration_ms: '50', attempt: 0n, 'http.response.status_code': 200n }),
      event(60n, 'sse_event', { 'event.kind': 'response.created', duration_ms: '3' }),
      event(400n, 'sse_event', {
        'event.kind': 'response.completed',
        input_token_count: '90',
        output_token_count: '9',
        cached_token_count: 60n,
        reasoning_token_count: 4n,
        tool_token_count: '99',
      }),
      event(500n, 'tool_result', {
        tool_name: 'shell',
        call_id: 'call_1',
        arguments: '["ls"]',
        duration_ms: '80',
        success: 'true',
        output: 'a.txt',
      }),
      event(900n, 'api_request', {
        duration_ms: '20',
        attempt: 1n,
        'http.response.status_code': 503n,
        'error.message': 'unavailable',
      }),
    ],
  };
}

export function geminiCli(service: string, answer = 'Yes.'): Sender {
  const event = (atMs: bigint, name: string, attributes: Record<string, Scalar>) => ({
    at: T0 + atMs * MS,
    attributes: {
      'event.name': `gemini_cli.${name}`,
      'session.id': 'gem-1',
      prompt_id: 'gem-1###0',
      ...attributes,
    },
  });
  return {
    resource: { 'service.name': service },
    scope: 'gemini-cli',
    events: [
      event(0n, 'user_prompt', { prompt_length: 10n, prompt: 'is 7 prime' }),
      event(10n, 'api_request', { model: 'gemini-3-pro', request_text: '[{"role":"user"}]' }),
      event(300n, 'api_response', {
        model: 'gemini-3-pro',
        status_code: 200n,
        duration_ms: 290n,
        input_token_count: 50n,
        output_token_count: 6n,
        cached_content_token_count: 20n,
        thoughts_token_count: 4n,
        total_token_count: 60n,
        response_text: answer,
      }),
      event(400n, 'tool_call', {
        function_name: 'run_shell_command',
        function_args: '{"command":"factor 7"}',
        duration_ms: 70n,
        success: true,
      }),
      event(500n, 'api_error', {
        model: 'gemini-3-pro',
        error: 'quota',
        error_type: 'RESOURCE_EXHAUSTED',
        status_code: 429n,
        duration_ms: 30n,
      }),
    ],
  };
}
