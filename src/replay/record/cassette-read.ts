import { statSync } from 'node:fs';
import { LoopscopeError } from '../../errors.ts';
import { readLines } from '../../records/lines.ts';
import type { Message, Recording, Step } from '../recording.ts';
import {
  CASSETTE_LIMITS,
  CASSETTE_VERSION,
  CassetteLine,
  type CassetteRun,
  type CassetteStep,
} from './cassette.ts';
import { gapOf } from './gaps.ts';
import { depthOf } from './json-depth.ts';

/** Bad lines that are told of; a file with more is none of ours. */
const BAD_LINES_MAX = 20;

/**
 * The recordings of a cassette, all of them or none. Throws `not_found` where there is no such file, and `bad_input` with
 * the number of each line that is not as it has to be, and why.
 */
export async function readCassette(path: string): Promise<Recording[]> {
  const { fileBytesMax, lineBytesMax } = CASSETTE_LIMITS;
  const bytes = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  if (bytes > fileBytesMax)
    throw new LoopscopeError(
      'bad_input',
      `${path}: expected a cassette of at most ${fileBytesMax} bytes, got ${bytes}.`,
    );
  const reader = new Reader();
  const bad: string[] = [];
  for await (const { line, bytes } of readLines(path, lineBytesMax)) {
    const why =
      bytes === undefined
        ? `it is longer than ${lineBytesMax} bytes`
        : reader.take(bytes.toString(), line === 1);
    if (why !== undefined) bad.push(`${path}:${line}: ${why}`);
    // Without its first line it is another kind of file, and there is no sense in what follows.
    if (bad.length === BAD_LINES_MAX || (why !== undefined && line === 1)) break;
  }
  const last = bad.length === 0 ? (reader.end() ?? reader.whyEmpty()) : undefined;
  if (last !== undefined) bad.push(`${path}: ${last}`);
  if (bad.length > 0)
    throw new LoopscopeError('bad_input', `${bad.join('\n')}\nNothing of the file was taken.`);
  return reader.recordings;
}

/** Puts recordings together line by line. */
class Reader {
  readonly recordings: Recording[] = [];
  readonly #messages = new Map<string, Message>();
  readonly #texts = new Map<string, string>();
  readonly #names = new Set<string>();
  #references = 0;
  #run: CassetteRun | undefined;
  #steps: Step[] = [];
  #spanIds = new Set<string>();

  /** Why a line is none; `undefined` where it is one. */
  take(text: string, isFirst: boolean): string | undefined {
    if (text.trim() === '') return isFirst ? FIRST : undefined;
    if (depthOf(text) > CASSETTE_LIMITS.depthMax)
      return `it is nested deeper than ${CASSETTE_LIMITS.depthMax}`;
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      return isFirst ? FIRST : 'it is not JSON';
    }
    const parsed = CassetteLine.safeParse(value);
    if (!parsed.success) {
      const { path, message } = parsed.error.issues[0]!;
      return isFirst ? FIRST : `${path.join('.') || 'the line'}: ${message}`;
    }
    const line = parsed.data;
    if (isFirst !== (line.type === 'cassette')) return isFirst ? FIRST : 'a cassette begins once';
    switch (line.type) {
      case 'cassette':
        return line.version === CASSETTE_VERSION
          ? undefined
          : `expected version ${CASSETTE_VERSION} of a cassette, got ${line.version}: a newer loopscope made it`;
      case 'message':
        return keep(this.#messages, line.hash, line.value);
      case 'text':
        return keep(this.#texts, line.hash, line.value);
      case 'run':
        return this.end() ?? this.#begin(line);
      case 'step':
        return this.#step(line);
    }
  }

  #begin(run: CassetteRun): string | undefined {
    if (this.recordings.length >= CASSETTE_LIMITS.runsMax) return `more than ${CASSETTE_LIMITS.runsMax} runs`;
    const name = JSON.stringify([run.loop, run.run]);
    if (this.#names.has(name))
      return `run ${JSON.stringify(run.run)} of loop ${JSON.stringify(run.loop)} is in it twice`;
    this.#names.add(name);
    this.#run = run;
    this.#steps = [];
    this.#spanIds = new Set();
    return undefined;
  }

  #step(line: CassetteStep): string | undefined {
    if (!this.#run) return 'a step without a run before it';
    if (this.#steps.length >= CASSETTE_LIMITS.stepsPerRunMax)
      return `more than ${CASSETTE_LIMITS.stepsPerRunMax} steps in one run`;
    if (this.#spanIds.has(line.spanId)) return `spanId: ${line.spanId} is another step's`;
    if (line.atMs < (this.#steps.at(-1)?.atMs ?? 0)) return 'atMs: it began before the step before it';
    this.#spanIds.add(line.spanId);
    const { type: _, ...step } = line;
    if (step.kind !== 'call') {
      this.#steps.push(step);
      return undefined;
    }
    const input = this.#history(step.input);
    const output = this.#history(step.output);
    if (typeof input === 'string') return `input: ${input}`;
    if (typeof output === 'string') return `output: ${output}`;
    const { toolDefinitions: hash } = step;
    const toolDefinitions = hash === null ? null : this.#texts.get(hash);
    if (toolDefinitions === undefined) return `toolDefinitions: no text ${JSON.stringify(hash)} before it`;
    this.#steps.push({ ...step, input, output, toolDefinitions });
    return undefined;
  }

  #history(hashes: readonly string[] | null): Message[] | null | string {
    if (hashes === null) return null;
    this.#references += hashes.length;
    if (this.#references > CASSETTE_LIMITS.referencesMax)
      return `more than ${CASSETTE_LIMITS.referencesMax} messages in all histories together`;
    const messages: Message[] = [];
    for (const hash of hashes) {
      const message = this.#messages.get(hash);
      if (!message) return `no message ${JSON.stringify(hash)} before it`;
      messages.push(message);
    }
    return messages;
  }

  whyEmpty(): string | undefined {
    return this.recordings.length === 0 ? 'there is no run in it' : undefined;
  }

  /** Ends the run that lines told of so far. Why it is none; `undefined` where it is one, or there is none. */
  end(): string | undefined {
    if (!this.#run) return undefined;
    const { type: _, gaps, ...run } = this.#run;
    const steps = this.#steps;
    this.#run = undefined;
    if (gaps.some((gap) => gap.steps.some((place) => place >= steps.length)))
      return `gaps: run ${JSON.stringify(run.run)} has only ${steps.length} steps`;
    this.recordings.push({
      ...run,
      steps,
      gaps: gaps.map(({ what, why, steps }) => gapOf(what, why, steps)),
    });
    return undefined;
  }
}

const FIRST = 'expected a cassette, whose first line is {"type":"cassette","version":1}';

function keep<T>(known: Map<string, T>, hash: string, value: T): string | undefined {
  if (known.has(hash)) return `hash: ${JSON.stringify(hash)} is in it twice`;
  known.set(hash, value);
  return undefined;
}
