import type { ModelCall, Recording } from '../recording.ts';
import { type Normaliser, normaliser, type Unit } from './normalise.ts';
import type { FreshCall, ModelAnswer, ModelPort } from './ports.ts';
import { COMPARED } from './wire/parameters.ts';

/**
 * Meets fresh calls with recorded ones.
 *
 * - By the normalised hash of all that is asked first: of the same agent's calls, else of any agent's.
 * - Else, unless it is strict, by place and similarity: among the agent's next recorded calls the one most like it, if it is
 *   like enough in the whole and in its newest part. That is `near`, and what differs is told.
 * - Each recorded call is met once, in order among equals. What meets none is `unmatched`, and answered by nobody.
 */
export type Match =
  | { outcome: 'matched'; recorded: ModelCall }
  | { outcome: 'near'; recorded: ModelCall; differences: readonly string[] }
  | { outcome: 'unmatched'; nearest: ModelCall | undefined; differences: readonly string[] };

export interface Matcher {
  match(call: FreshCall): Match;
  /** Lets a call stand for the nearest recorded one after all, which is met then. */
  take(recorded: ModelCall): void;
  /** Recorded calls that nothing has met. */
  unmet(): ModelCall[];
}

export interface MatchOptions {
  normaliser?: Normaliser;
  strict?: boolean;
}

/** An agent's next recorded calls that are looked at. */
const CANDIDATES_MAX = 8;
const SIMILARITY_MIN = 0.6;
const NEWEST_SIMILARITY_MIN = 0.5;

export function matcher(recording: Recording, options: MatchOptions = {}): Matcher {
  const { normaliser: n = normaliser(), strict = false } = options;
  const calls = recording.steps.filter((step) => step.kind === 'call');
  const unmet = new Set<ModelCall>(calls);
  const byHash = new Map<string, ModelCall[]>();
  for (const call of calls) {
    if (call.input === null) continue;
    const hash = n.call(call as FreshCall);
    const equal = byHash.get(hash);
    if (equal) equal.push(call);
    else byHash.set(hash, [call]);
  }
  const similarity = similarityBy(n);
  const met = (recorded: ModelCall) => {
    unmet.delete(recorded);
    return recorded;
  };
  const isSameAgent = (call: FreshCall) => (recorded: ModelCall) =>
    recorded.agent === call.agent && recorded.parentAgent === call.parentAgent;

  const nearest = (call: FreshCall): { recorded: ModelCall; whole: number; newest: number } | undefined => {
    const own = [...unmet].filter((recorded) => recorded.input !== null && isSameAgent(call)(recorded));
    const among = own.length > 0 ? own : [...unmet].filter((recorded) => recorded.input !== null);
    let best: { recorded: ModelCall; whole: number; newest: number } | undefined;
    for (const recorded of among.slice(0, CANDIDATES_MAX)) {
      const like = similarity(call, recorded);
      if (!best || like.whole > best.whole) best = { recorded, ...like };
    }
    return best;
  };

  return {
    take: met,
    unmet: () => [...unmet],
    match(call) {
      const equal = (byHash.get(n.call(call)) ?? []).filter((recorded) => unmet.has(recorded));
      const found = equal.find(isSameAgent(call)) ?? equal[0];
      if (found) return { outcome: 'matched', recorded: met(found) };
      const best = nearest(call);
      if (!best) return { outcome: 'unmatched', nearest: undefined, differences: [] };
      const { recorded, whole, newest } = best;
      const differences = callDifferences(n, call, recorded);
      const isNear =
        isSameAgent(call)(recorded) && whole >= SIMILARITY_MIN && newest >= NEWEST_SIMILARITY_MIN;
      if (strict || !isNear) return { outcome: 'unmatched', nearest: recorded, differences };
      return { outcome: 'near', recorded: met(recorded), differences };
    },
  };
}

/** The record as a model. */
export function recordedModel(recording: Recording, options: MatchOptions = {}): ModelPort {
  const { match } = matcher(recording, options);
  return (call) => {
    const found = match(call);
    if (found.outcome === 'unmatched') return found;
    const { recorded } = found;
    const answer = recordedAnswer(recorded);
    if (!answer)
      return {
        outcome: 'failed',
        error: 'not_recorded',
        message: `What ${recorded.model} answered was not recorded.`,
      };
    const differences = found.outcome === 'near' ? found.differences : [];
    return { outcome: 'answered', answer, match: { recorded, differences } };
  };
}

/** What was answered to a recorded call, at no cost. `undefined` where nobody knows. */
export function recordedAnswer(recorded: ModelCall): ModelAnswer | undefined {
  const { output, servedModel, finishReasons, inputTokens, outputTokens, durationMs, firstChunkMs } =
    recorded;
  if (output === null) return undefined;
  return {
    output,
    servedModel,
    finishReasons,
    inputTokens,
    outputTokens,
    durationMs,
    firstChunkMs,
    costUsd: 0,
  };
}

/** How alike two calls are in all that is said, and in what was said last; each in [0, 1]. */
function similarityBy(n: Normaliser) {
  return (call: FreshCall, recorded: ModelCall): { whole: number; newest: number } => {
    const a = n.units(call.input);
    const b = n.units(recorded.input ?? []);
    const length = Math.max(a.length, b.length);
    if (length === 0) return { whole: 1, newest: 1 };
    let sum = 0;
    for (let i = 0; i < Math.min(a.length, b.length); i++) sum += unitSimilarity(a[i]!, b[i]!);
    const newest = a.length > 0 && b.length > 0 ? unitSimilarity(a.at(-1)!, b.at(-1)!) : 0;
    return { whole: sum / length, newest };
  };
}

/** Characters of a part that are compared word by word. */
const COMPARED_CHARS_MAX = 4_000;

/** The Jaccard index of the words of two parts; 0 for parts of another kind. */
function unitSimilarity(a: Unit, b: Unit): number {
  if (a.hash === b.hash) return 1;
  if (a.role !== b.role || a.kind !== b.kind) return 0;
  return textSimilarity(a.template, b.template);
}

/** The Jaccard index of the words of two texts. */
export function textSimilarity(a: string, b: string): number {
  const [x, y] = [wordsOf(a), wordsOf(b)];
  let shared = 0;
  for (const word of x) if (y.has(word)) shared++;
  const either = x.size + y.size - shared;
  return either === 0 ? 1 : shared / either;
}

const wordsOf = (text: string) =>
  new Set(
    text
      .slice(0, COMPARED_CHARS_MAX)
      .toLowerCase()
      .match(/[\p{L}\p{N}]+/gu),
  );

/** Differences that are told of one call, and characters of each side. */
const DIFFERENCES_MAX = 6;
const SHOWN_CHARS_MAX = 120;

/** What two calls differ in, a sentence each; at most `DIFFERENCES_MAX`. */
export function callDifferences(n: Normaliser, call: FreshCall, recorded: ModelCall): string[] {
  const found: string[] = [];
  if (call.model !== recorded.model) found.push(`model: recorded ${recorded.model}, now ${call.model}`);
  const names = new Set([...Object.keys(recorded.parameters), ...Object.keys(call.parameters)]);
  for (const name of names) {
    if (!COMPARED.has(name)) continue;
    const [before, now] = [recorded.parameters[name], call.parameters[name]];
    if (before !== now) found.push(`${name}: recorded ${before ?? 'none'}, now ${now ?? 'none'}`);
  }
  if (n.value(recorded.toolDefinitions ?? '') !== n.value(call.toolDefinitions ?? ''))
    found.push('the tools that are offered');
  const a = n.units(recorded.input ?? []);
  const b = n.units(call.input);
  for (let i = 0; i < Math.max(a.length, b.length) && found.length < DIFFERENCES_MAX; i++) {
    if (a[i]?.hash === b[i]?.hash) continue;
    const [before, now] = shownApart(a[i]?.template, b[i]?.template);
    found.push(`part ${i + 1} (${(b[i] ?? a[i])!.role}): recorded ${before}, now ${now}`);
  }
  if (found.length === 0) found.push('which of its ids and times are the same as others');
  return found.slice(0, DIFFERENCES_MAX);
}

/** Both sides, from a little before they part. */
export function shownApart(before: string | undefined, now: string | undefined): [string, string] {
  const [a, b] = [before ?? '', now ?? ''];
  let at = 0;
  while (at < a.length && a[at] === b[at]) at++;
  const from = Math.max(0, at - 20);
  const shown = (text: string | undefined) => {
    if (text === undefined) return 'nothing';
    const end = from + SHOWN_CHARS_MAX;
    return JSON.stringify(`${from > 0 ? '…' : ''}${text.slice(from, end)}${text.length > end ? '…' : ''}`);
  };
  return [shown(before), shown(now)];
}
