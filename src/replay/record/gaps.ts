import type { Gap, Step } from '../recording.ts';

/**
 * What was not recorded, put together for a whole recording: one gap for each kind and reason, with the steps that it
 * concerns. What a gap says follows from its kind, its reason and how many steps there are, so that a recording that was
 * written somewhere and read again says the same.
 */
export class Gaps {
  readonly #found = new Map<string, { what: Gap['what']; why: Gap['why']; steps: Set<Step> }>();

  /** `step` is left out where it concerns the run as a whole. */
  add(what: Gap['what'], why: Gap['why'], step?: Step): void {
    const key = `${what} ${why}`;
    let gap = this.#found.get(key);
    if (!gap) {
      gap = { what, why, steps: new Set() };
      this.#found.set(key, gap);
    }
    if (step) gap.steps.add(step);
  }

  /** `steps` are those of the recording, in order. */
  list(steps: readonly Step[]): Gap[] {
    const places = new Map(steps.map((step, place) => [step, place]));
    return [...this.#found.values()]
      .map(({ what, why, steps: concerned }) =>
        gapOf(
          what,
          why,
          [...concerned].flatMap((step) => places.get(step) ?? []).sort((a, b) => a - b),
        ),
      )
      .sort((a, b) => rank(a) - rank(b));
  }
}

/** A gap in the words that it has everywhere. */
export function gapOf(what: Gap['what'], why: Gap['why'], steps: number[]): Gap {
  const times = steps.length === 0 ? '' : ` (${steps.length} ${steps.length === 1 ? 'step' : 'steps'})`;
  const means = why === 'redacted' ? 'A replay works with what stands in their place.' : MEANS[what];
  return { what, steps, why, message: `${WHAT[what]}${times}: ${WHY[why]}. ${means}` };
}

const WHAT: Record<Gap['what'], string> = {
  input: 'What a model was asked',
  output: 'What a model answered',
  tool_definitions: 'Which tools a model was offered',
  tool_arguments: 'What a tool was given',
  tool_result: 'What a tool gave back',
  call: 'Calls that are no conversation',
  spans: 'Spans of the run',
};

const WHY: Record<Gap['why'], string> = {
  not_captured: '`capture` of the loop is off or hashed, so content was not kept',
  expired: 'it is not stored any more (`retention`)',
  too_large: 'it was larger than what is kept',
  kept_by_provider: 'its provider keeps the conversation, and the request only went on from it',
  redacted: 'secrets in it were replaced or withheld',
  not_recorded: 'nobody recorded it',
};

const MEANS: Record<Gap['what'], string> = {
  input: 'A fresh call cannot ask the same there.',
  output: 'It cannot be answered from the record there.',
  tool_definitions: 'A fresh call would have to do without them.',
  tool_arguments: 'Whether a replay calls the tool with the same cannot be told there.',
  tool_result: 'A replay has no result to give there.',
  call: 'They are left out, and a replay cannot answer them.',
  spans: 'The recording is not whole.',
};

const WHATS = Object.keys(WHAT);
const WHYS = Object.keys(WHY);
const rank = ({ what, why }: Gap): number => WHATS.indexOf(what) * WHYS.length + WHYS.indexOf(why);

export const isWhat = (name: string): name is Gap['what'] => Object.hasOwn(WHAT, name);
export const isWhy = (name: unknown): name is Gap['why'] =>
  typeof name === 'string' && Object.hasOwn(WHY, name);

/**
 * Which content a span says is missing from it, and why: the value of `loopscope.missing`. `duration` stands for a time
 * that nobody measured.
 */
export type Missing = Partial<Record<Gap['what'], Gap['why']>> & { duration?: 'not_recorded' };

export function readMissing(json: string | undefined): Missing {
  if (json === undefined) return {};
  let said: unknown;
  try {
    said = JSON.parse(json);
  } catch {
    return {};
  }
  const missing: Missing = {};
  if (typeof said !== 'object' || said === null) return missing;
  for (const [what, why] of Object.entries(said)) {
    if (what === 'duration') missing.duration = 'not_recorded';
    else if (isWhat(what) && isWhy(why)) missing[what] = why;
  }
  return missing;
}
