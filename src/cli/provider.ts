import { type Command, InvalidArgumentError } from 'commander';
import { LoopscopeError } from '../errors.ts';
import { readRecords } from '../records/read.ts';
import type { RunRecord } from '../records/record.ts';
import type { CliContext } from './context.ts';
import { untilInterrupted } from './interrupt.ts';

/** `provider`: a model provider that answers from recorded runs. */
export function add(program: Command, context: CliContext): void {
  program
    .command('provider')
    .description('serve recorded answers as an OpenAI- and Anthropic-compatible provider')
    .argument('<file>', 'run records, one JSON object a line')
    .option('--port <n>', 'port to listen on, 0 for a free one', parsePort, 4010)
    .option('--latency <ms>', '"recorded", or a fixed number of milliseconds', parseLatency, 'recorded')
    .addHelpText(
      'after',
      '\nExample:\n  loopscope provider runs.jsonl --port 4010\n\nAnswers by model and prompt, in recorded order. Point `providers.openai.base_url` of loopscope.yaml,\nor a loop itself, at http://127.0.0.1:4010/v1.',
    )
    .action(async (file: string, options: { port: number; latency: 'recorded' | number }) => {
      const { startRecordedProvider } = await import('../provider/server.ts');
      const interrupted = untilInterrupted();
      const records = await readAll(file, context);
      const provider = await startRecordedProvider({ records, ...options, log: context.log() });
      try {
        context.out.line(`ready provider=${provider.url}`);
        await interrupted;
      } finally {
        await provider.close();
      }
    });
}

async function readAll(file: string, context: CliContext): Promise<RunRecord[]> {
  const records: RunRecord[] = [];
  let bad = 0;
  for await (const entry of readRecords(file)) {
    if ('record' in entry) records.push(entry.record);
    else {
      bad++;
      context.out.note(`${file}:${entry.line}: ${entry.error}`);
    }
  }
  if (bad > 0)
    throw new LoopscopeError(
      'bad_input',
      `${file}: ${bad} bad ${bad === 1 ? 'line' : 'lines'} (above); nothing is served.`,
    );
  return records;
}

function parsePort(text: string): number {
  const port = Number(text);
  if (!Number.isInteger(port) || port < 0 || port > 65535)
    throw new InvalidArgumentError('Expected a port, 0 to 65535.');
  return port;
}

function parseLatency(text: string): 'recorded' | number {
  const ms = Number(text);
  if (text === 'recorded') return text;
  if (text.trim() === '' || !Number.isFinite(ms) || ms < 0)
    throw new InvalidArgumentError('Expected "recorded" or a number of milliseconds.');
  return ms;
}
