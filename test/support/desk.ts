import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { systemClock } from '../../src/clock.ts';
import { loadConfig } from '../../src/config.ts';
import type { Message } from '../../src/replay/recording.ts';
import { openStore } from '../../src/store/client.ts';
import { startSystem } from '../../src/system.ts';
import { runCli } from './cli.ts';
import { text, toolCall } from './replay.ts';
import { startThinkingProvider } from './thinking-provider.ts';

/** The support desk: the whole program with a provider, and the loops of test/loops against it. */
const LOOP_YAML = `
loop: desk
owner: support
agents:
  - { name: maker, role: maker }
  - { name: researcher, role: sub }
  - { name: reviewer, role: checker, verdict: { json: $.pass } }
tools:
  - { name: look_up_order, safe: true, command: [node, ./tool.mjs] }
  - { name: ask_researcher, safe: true }
  - { name: close_ticket }
suite: desk-golden
`;

/** As the desk's models think: one looks up and asks before it answers, another wants to close the ticket at once. */
function think(asked: { model?: string; messages(): Message[] }): Message {
  const messages = asked.messages();
  const said = JSON.stringify(messages);
  if (said.includes('You review')) return text('assistant', `{"pass": ${said.includes('three days late')}}`);
  if (said.includes('You research')) return text('assistant', 'Parcels of that week are three days late.');
  if (asked.model?.includes('rash')) return use(toolCall('call_9', 'close_ticket', { id: 7 }));
  if (!said.includes('tool_call_response'))
    return use(
      toolCall('call_1', 'look_up_order', { id: 7 }),
      toolCall('call_2', 'ask_researcher', { question: 'Why is order 7 late?' }),
    );
  return text(
    'assistant',
    asked.model?.includes('vague') ? 'It is on its way.' : 'Order 7 is three days late; it comes on Friday.',
  );
}

const use = (...parts: Message['parts']): Message => ({ role: 'assistant', parts });

export async function openDesk() {
  const folder = mkdtempSync(join(tmpdir(), 'loopscope-desk-'));
  for (const sub of ['loops', 'suites']) mkdirSync(join(folder, sub));
  writeFileSync(join(folder, 'loops/desk.yaml'), LOOP_YAML);
  writeFileSync(
    join(folder, 'suites/desk.yaml'),
    'suite: desk-golden\nloop: desk\ndataset: desk\nscorer: { regex: "(late)", flags: i, group: 1 }\n',
  );
  writeFileSync(
    join(folder, 'golden.jsonl'),
    `${JSON.stringify({ input: 'Ticket 7: where is my order?', expected: 'late' })}\n`,
  );
  writeFileSync(
    join(folder, 'tool.mjs'),
    `import { appendFileSync, readFileSync } from 'node:fs';
const given = readFileSync(0, 'utf8');
appendFileSync('tool.log', given + '\\n');
process.stdout.write('{"id":7,"state":"late","days":3}');
`,
  );
  const provider = await startThinkingProvider(think);
  const providers = [
    'providers:',
    `  openai: { base_url: "${provider.url}/v1", api_key_env: NO_KEY }`,
    `  anthropic: { base_url: "${provider.url}", api_key_env: NO_KEY }`,
    'prices: [{ model: "*", input_usd_per_mtok: 1, output_usd_per_mtok: 1 }]',
  ];
  const file = join(folder, 'loopscope.yaml');
  writeFileSync(
    file,
    [
      `data_dir: "${join(folder, 'data')}"`,
      'clickhouse: { http_port: 0, native_port: 0 }',
      'collector: { port: 0, grpc_port: 0 }',
      'gateway: { port: 0 }',
      ...providers,
    ].join('\n'),
  );
  const system = await startSystem({
    config: loadConfig(file, {}),
    roles: ['clickhouse', 'collector', 'gateway'],
    clock: systemClock(),
    log: pino({ level: 'silent' }),
  });
  const { clickhouse, collector, gateway } = system.endpoints;
  writeFileSync(
    file,
    [
      `clickhouse: { url: "${clickhouse}" }`,
      `collector: { url: "${collector}" }`,
      `gateway: { port: ${new URL(gateway!).port} }`,
      ...providers,
    ].join('\n'),
  );
  const store = openStore({ url: clickhouse! });
  const log = join(folder, 'loop.log');
  return {
    folder,
    provider,
    system,
    store,
    gateway: gateway!,
    cli: (...argv: string[]) => runCli([argv[0]!, '--config', file, ...argv.slice(1)]),
    /** What the commands of the registry were given, since the last look. */
    commanded: (): string[] => linesOf(join(folder, 'tool.log')),
    /** Tools that the loops have carried out since the last look, one a line. */
    carriedOut: (): string[] => linesOf(log),
    log,
    /** Runs a loop against the gateway, as in production. */
    runLoop: (loop: string, run: string) =>
      runProgram(loop, {
        OPENAI_BASE_URL: `${gateway}/v1`,
        ANTHROPIC_BASE_URL: `${gateway}/anthropic`,
        OPENAI_API_KEY: 'sk-desk',
        ANTHROPIC_API_KEY: 'sk-ant-desk',
        LOOPSCOPE_GATEWAY_URL: gateway!,
        LOOPSCOPE_RUN: run,
        LOOP_LOG: log,
      }),
    close: async () => {
      await store.close();
      await system.close();
      await provider.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** The lines of a file, which is gone then. */
function linesOf(file: string): string[] {
  const lines = existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : [];
  rmSync(file, { force: true });
  return lines;
}

function runProgram(loop: string, more: Record<string, string>): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [loop], { env: { ...process.env, ...more } });
    let said = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk) => {
        said += String(chunk);
      });
    child.on('close', (code) =>
      code === 0 ? resolve(said) : reject(new Error(`${loop}: ${code}\n${said}`)),
    );
  });
}
