import { contentHash } from '../../records/normalize.ts';
import type { Message, ModelCall, Recording } from '../recording.ts';
import { CASSETTE_VERSION, type CassetteLine } from './cassette.ts';

/** The lines of a cassette with these recordings, each with its end. What says the same is in it once. */
export function* cassetteLines(recordings: Iterable<Recording>): Generator<string> {
  const writer = new Writer();
  yield line({ type: 'cassette', version: CASSETTE_VERSION });
  for (const recording of recordings) yield* writer.run(recording);
}

const line = (value: CassetteLine): string => `${JSON.stringify(value)}\n`;

class Writer {
  readonly #written = new Set<string>();
  readonly #hashes = new Map<Message, string>();

  *run({ steps, gaps, ...run }: Recording): Generator<string> {
    yield line({ type: 'run', ...run, gaps: gaps.map(({ what, why, steps }) => ({ what, why, steps })) });
    for (const step of steps) {
      if (step.kind !== 'call') {
        yield line({ type: 'step', ...step });
        continue;
      }
      yield* this.#content(step);
      const hashes = (messages: Message[] | null) => messages?.map((m) => this.#hashes.get(m)!) ?? null;
      const { input, output, toolDefinitions } = step;
      yield line({
        type: 'step',
        ...step,
        input: hashes(input),
        output: hashes(output),
        toolDefinitions: toolDefinitions === null ? null : contentHash(toolDefinitions),
      });
    }
  }

  /** What a call refers to and no line has yet. */
  *#content({ input, output, toolDefinitions }: ModelCall): Generator<string> {
    for (const message of [...(input ?? []), ...(output ?? [])]) {
      if (this.#hashes.has(message)) continue;
      const hash = contentHash(JSON.stringify(message));
      this.#hashes.set(message, hash);
      if (this.#isNew(hash)) yield line({ type: 'message', hash, value: message });
    }
    if (toolDefinitions === null) return;
    const hash = contentHash(toolDefinitions);
    if (this.#isNew(`text ${hash}`)) yield line({ type: 'text', hash, value: toolDefinitions });
  }

  #isNew(hash: string): boolean {
    const isNew = !this.#written.has(hash);
    this.#written.add(hash);
    return isNew;
  }
}
