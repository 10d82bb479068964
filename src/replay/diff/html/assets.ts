import { createHash } from 'node:crypto';

/** What the page looks like and what its keys do. Both are in the page, and the page's policy allows these two and nothing else. */
export const STYLE = `
:root { color-scheme: light dark; --line: light-dark(#d0d7de, #3d444d); --dim: light-dark(#59636e, #9198a1);
  --gone: light-dark(#ffd7d5, #67201d); --come: light-dark(#c7f0cf, #1b4721); --soft: light-dark(#fff8c5, #3f3408);
  --back: light-dark(#f6f8fa, #161b22); --accent: light-dark(#0969da, #58a6ff); }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem; max-width: 75rem; background: light-dark(#fff, #0d1117);
  color: light-dark(#1f2328, #f0f6fc); font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.4rem; margin: 0 0 1rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
h1, h2, summary, td, th, p, dt { overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .25rem .75rem .25rem 0;
  border-bottom: 1px solid var(--line); vertical-align: top; } th { font-weight: 600; }
thead th { color: var(--dim); } td.differs { background: var(--soft); }
.verdict { padding: .6rem .9rem; border-left: 4px solid var(--accent); background: var(--back); }
.differ { border-left-color: light-dark(#cf222e, #f85149); } .alike { border-left-color: light-dark(#1a7f37, #3fb950); }
details { border: 1px solid var(--line); border-radius: 6px; margin: .4rem 0; background: light-dark(#fff, #0d1117); }
summary { cursor: pointer; padding: .4rem .75rem; background: var(--back); border-radius: 6px; }
summary:focus-visible, button:focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; }
.first > summary { border-left: 4px solid light-dark(#cf222e, #f85149); }
.body { padding: .25rem .75rem .75rem; } .body > details { margin: .4rem 0; }
.tag { display: inline-block; padding: 0 .5em; border: 1px solid var(--line); border-radius: 1em; font-size: .8rem; }
.changed, .only_a, .only_b { border-color: light-dark(#cf222e, #f85149); } .dim { color: var(--dim); }
dl { margin: .5rem 0; } dt { font-weight: 600; margin-top: .5rem; } dd { margin: .15rem 0 0; }
pre { margin: 0; padding: .5rem .6rem; border-radius: 6px; background: var(--back); white-space: pre-wrap; overflow-wrap: anywhere;
  font: 13px/1.5 ui-monospace, monospace; unicode-bidi: isolate; max-height: 30rem; overflow: auto; }
del { background: var(--gone); text-decoration: line-through; } ins { background: var(--come); text-decoration: underline; }
.volatile { border-bottom: 1px dotted var(--dim); color: var(--dim); }
.unseen, .cut { font-size: .8em; border: 1px solid var(--dim); border-radius: 3px; padding: 0 .2em; color: var(--dim); }
nav { position: sticky; top: 0; padding: .5rem 0; background: light-dark(#fff, #0d1117); z-index: 1; }
button { font: inherit; font-size: .85rem; padding: .2rem .6rem; margin-right: .4rem; }
`;

/** Folding all at once, and going from one difference to the next. Without it the page is whole, and folds by hand. */
export const SCRIPT = `
'use strict';
const differing = () => [...document.querySelectorAll('details[data-differs]')];
const all = () => document.querySelectorAll('details');
let at = -1;
const go = (by) => {
  const list = differing();
  if (list.length === 0) return;
  at = Math.min(list.length - 1, Math.max(0, at + by));
  list[at].open = true;
  const summary = list[at].querySelector('summary');
  summary.focus();
  summary.scrollIntoView({ block: 'center' });
};
const does = { next: () => go(1), previous: () => go(-1),
  open: () => all().forEach((d) => { d.open = true; }), close: () => all().forEach((d) => { d.open = false; }) };
const keys = { n: 'next', p: 'previous', o: 'open', c: 'close' };
document.querySelector('nav').hidden = false;
document.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-does]');
  if (button) does[button.dataset.does]();
});
document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (Object.hasOwn(keys, event.key)) does[keys[event.key]]();
});
`;

const hashOf = (text: string) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

/** Nothing is loaded, sent, framed or run but the style and the script above. */
export const POLICY = [
  "default-src 'none'",
  `style-src ${hashOf(STYLE)}`,
  `script-src ${hashOf(SCRIPT)}`,
  "base-uri 'none'",
  "form-action 'none'",
].join('; ');
