import type { Change, Difference, JsonChange, Piece } from '../difference.ts';
import { type Excerpt, excerpt } from '../excerpt.ts';
import { pathText } from '../json.ts';
import { clipped } from '../said.ts';
import { html, type Markup } from './markup.ts';

/** What differs in a step, as a list of fields and changes. */

const LIMITS = { around: 400, alone: 20_000, changes: 500 };
const VALUE_MAX = 2_000;
/** Characters of a path, or of what a message or parameter is called. */
const PLACE_MAX = 300;

export function differenceList(differences: readonly Difference[]): Markup {
  return html`<dl>${differences.map(
    ({ field, at, weight, change }) =>
      html`<dt>${field.replaceAll('_', ' ')} ${at === '' ? '' : `(${clipped(at, PLACE_MAX)})`}${weight === 'counts' ? '' : html` <span class="tag dim">${WEIGHTS[weight]}</span>`}</dt><dd>${changeMarkup(change)}</dd>`,
  )}</dl>`;
}

const WEIGHTS: Record<Exclude<Difference['weight'], 'counts'>, string> = {
  volatile: 'only ids, times or the order of keys',
  carried: 'follows from an earlier step',
  unknown: 'not recorded',
};

function changeMarkup(change: Change): Markup {
  if (change.kind === 'text') return html`<pre>${piecesMarkup(change.pieces)}</pre>`;
  if (change.kind === 'value') return html`<pre>${fromTo(change.a, change.b)}</pre>`;
  if (change.entries.length === 0) return html`<p class="dim">The same document, written in another way.</p>`;
  const more = change.more === 0 ? '' : html`\n<span class="cut">${change.more} more places</span>`;
  return html`<pre>${change.entries.map((entry) => html`${entryMarkup(entry)}\n`)}${more}</pre>`;
}

function entryMarkup({ path, op, volatile, a, b, pieces }: JsonChange): Markup {
  const at = html`<b>${clipped(pathText(path), PLACE_MAX)}</b> `;
  if (op === 'removed') return html`${at}<del>${shown(a)}</del>`;
  if (op === 'added') return html`${at}<ins>${shown(b)}</ins>`;
  if (pieces && pieces.length > 2) return html`${at}${piecesMarkup(pieces)}`;
  return volatile
    ? html`${at}<span class="volatile">${shown(a)} → ${shown(b)}</span>`
    : html`${at}${fromTo(a, b)}`;
}

const fromTo = (a: unknown, b: unknown): Markup => html`<del>${shown(a)}</del> → <ins>${shown(b)}</ins>`;

/** A value as JSON has it, cut where it is long; an absent one as nothing. */
function shown(value: unknown): string {
  if (value === null || value === undefined) return '–';
  const text = JSON.stringify(value);
  return clipped(text, VALUE_MAX);
}

const piecesMarkup = (pieces: readonly Piece[]): Markup => html`${excerpt(pieces, LIMITS).map(pieceMarkup)}`;

function pieceMarkup(piece: Excerpt): Markup {
  switch (piece[0]) {
    case '=':
      return html`${piece[1]}`;
    case '-':
      return html`<del>${piece[1]}</del>`;
    case '+':
      return html`<ins>${piece[1]}</ins>`;
    case '~':
      return html`<span class="volatile">${piece[1]} → ${piece[2]}</span>`;
    case '…':
      return html`<span class="cut">… ${piece[1]} characters …</span>`;
    case 'more':
      return html`<span class="cut">${piece[1]} more changes</span>`;
  }
}
