import type { Recording, Step } from '../../recording.ts';
import { areAlike, isDivergence } from '../diff.ts';
import type { Outcome, RunDiff, StepDiff } from '../difference.ts';
import { clipped, saidBy, stepTitle } from '../said.ts';
import { summaryOf } from '../summary.ts';
import { POLICY, SCRIPT, STYLE } from './assets.ts';
import { differenceList } from './change.ts';
import { html, Markup } from './markup.ts';

/**
 * A diff as one HTML file that stands alone: nothing is loaded, nothing is sent, it opens without JavaScript, and whatever
 * the runs hold is text in it. At most PAGE_CHARACTERS_MAX of details are written; of the steps beyond only that they differ.
 */
const PAGE_CHARACTERS_MAX = 8_000_000;
/** Steps before the first divergence that are shown with what they said. */
const CONTEXT_STEPS = 2;
const SAID_MAX = 1_000;
/** Characters of a name. */
const NAME_MAX = 100;

export function diffPage(diff: RunDiff): string {
  const names = `${runName(diff.a)} and ${runName(diff.b)}`;
  // A title has no markup, which would show what is not seen.
  const title = names.replace(/[\p{Cc}\p{Cf}]/gu, '\ufffd');
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${new Markup(POLICY)}">
<meta name="referrer" content="no-referrer">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<style>${new Markup(STYLE)}</style>
</head>
<body>
<h1>${title}</h1>
<p class="verdict ${areAlike(diff) ? 'alike' : 'differ'}">${summaryOf(diff)}</p>
${figuresTable(diff)}
${diff.run.length === 0 ? '' : html`<h2>The run as a whole</h2>${differenceList(diff.run)}`}
<h2>Steps</h2>
<nav hidden>${BUTTONS.map(([does, label]) => html`<button type="button" data-does="${does}">${label}</button>`)}</nav>
<main>${stepList(diff)}</main>
<script>${new Markup(SCRIPT)}</script>
</body>
</html>
`.text;
}

const BUTTONS = [
  ['next', 'next difference (n)'],
  ['previous', 'previous (p)'],
  ['open', 'open all (o)'],
  ['close', 'close all (c)'],
] as const;

const runName = ({ loop, run, replayOf }: Recording): string =>
  [loop, run, replayOf === null ? '' : `(replay of ${clipped(replayOf, NAME_MAX)})`]
    .map((name) => clipped(name, NAME_MAX))
    .join(' ');

const FIGURES: readonly [name: string, of: (recording: Recording) => string | number | null][] = [
  ['started', ({ startedAt }) => new Date(startedAt).toISOString().slice(0, 19).replace('T', ' ')],
  ['state', ({ state }) => state],
  ['verdict', ({ verdict }) => verdict && (verdict.pass ? 'passed' : 'failed')],
  ['golden score', ({ goldenScore }) => goldenScore],
  ['steps', ({ steps }) => steps.length],
  ['took, s', ({ durationMs }) => Math.round(durationMs) / 1000],
  ['tokens in', ({ inputTokens }) => inputTokens],
  ['tokens out', ({ outputTokens }) => outputTokens],
  ['cost, $', ({ costUsd }) => costUsd],
  ['answered by', ({ versions }) => versions.servedModel ?? versions.model],
];

function figuresTable({ a, b }: RunDiff): Markup {
  const cell = (of: (recording: Recording) => string | number | null, recording: Recording) => {
    const differs = of(a) !== of(b) ? 'differs' : '';
    return html`<td class="${differs}">${clipped(String(of(recording) ?? '–'), NAME_MAX)}</td>`;
  };
  const row = (side: string, recording: Recording) =>
    html`<tr><th>${side}</th><td>${runName(recording)}</td>${FIGURES.map(([, of]) => cell(of, recording))}</tr>`;
  const head = FIGURES.map(([name]) => html`<th>${name}</th>`);
  return html`<table><thead><tr><th></th><th>run</th>${head}</tr></thead><tbody>${row('a', a)}${row('b', b)}</tbody></table>`;
}

/** Steps in order; those in a row in which nothing counts are folded into one. */
function stepList(diff: RunDiff): Markup {
  const sections: Markup[] = [];
  let characters = 0;
  let folded: StepDiff[] = [];
  const add = (section: Markup) => {
    characters += section.text.length;
    sections.push(section);
  };
  const unfold = () => {
    if (folded.length === 0) return;
    const lines = folded.map(
      (step) => html`<div>${placeOf(step)} ${stepTitle(step)} ${tag(step.outcome)}</div>`,
    );
    const what = folded.length === 1 ? 'one step' : `${folded.length} steps`;
    add(
      html`<details><summary class="dim">${what} in which nothing differs that counts</summary><div class="body">${lines}</div></details>`,
    );
    folded = [];
  };
  const first = diff.firstDivergence;
  diff.steps.forEach((step, place) => {
    const isContext = first !== null && place < first && place >= first - CONTEXT_STEPS;
    if (!isContext && !isDivergence(step)) {
      folded.push(step);
      return;
    }
    unfold();
    add(characters > PAGE_CHARACTERS_MAX ? titleOnly(step) : stepDetails(diff, step, place === first));
  });
  unfold();
  return html`${sections}`;
}

const titleOnly = (step: StepDiff): Markup =>
  html`<p>${placeOf(step)} ${stepTitle(step)} ${tag(step.outcome)} <span class="dim">(too much to show here; the JSON document has it)</span></p>`;

function stepDetails(diff: RunDiff, step: StepDiff, isFirst: boolean): Markup {
  const differs = isDivergence(step);
  const attributes = new Markup(
    `${isFirst ? ' open class="first" id="first"' : ''}${differs ? ' data-differs' : ''}`,
  );
  const recorded = step.aIndex === null ? diff.b.steps[step.bIndex!]! : diff.a.steps[step.aIndex]!;
  const details = step.differences.length > 0 ? differenceList(step.differences) : saidMarkup(recorded);
  return html`<details${attributes}><summary>${placeOf(step)} ${stepTitle(step)} ${tag(step.outcome)}${isFirst ? html` <b>first divergence</b>` : ''}</summary><div class="body">${details}</div></details>`;
}

const saidMarkup = (step: Step): Markup =>
  html`<dl>${saidBy(step).map(
    ({ label, text }) =>
      html`<dt>${clipped(label, NAME_MAX)}</dt><dd><pre>${clipped(text, SAID_MAX)}</pre></dd>`,
  )}</dl>`;

/** Its place in a and in b, from 1 on. */
const placeOf = ({ aIndex, bIndex }: StepDiff): string => {
  const [a, b] = [aIndex, bIndex].map((index) => (index === null ? '–' : String(index + 1)));
  return a === b ? a! : `${a}/${b}`;
};

const OUTCOMES: Record<Outcome, string> = {
  same: 'same',
  volatile: 'only ids and times differ',
  carried: 'follows from an earlier step',
  unknown: 'not recorded',
  changed: 'changed',
  only_a: 'only in a',
  only_b: 'only in b',
};
const tag = (outcome: Outcome): Markup => html`<span class="tag ${outcome}">${OUTCOMES[outcome]}</span>`;
