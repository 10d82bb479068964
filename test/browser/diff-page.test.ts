import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { diffRecordings } from '../../src/replay/diff/diff.ts';
import { diffPage } from '../../src/replay/diff/html/page.ts';
import type { Message, Recording } from '../../src/replay/recording.ts';
import { chromiumMissing, startChromium } from '../support/chromium.ts';
import { inFolder } from '../support/cli.ts';
import { call, recording, statement, text, tool, toolUse } from '../support/recordings.ts';

/** The page of a diff in a real browser: what it shows, and what hostile runs cannot make it do. */
const skip = chromiumMissing;
let browser: Browser;
/** Whoever asks it for anything got out of the page. */
const beacon = createServer((_, response) => response.end());
const hits: string[] = [];
let beaconUrl = '';

before(async () => {
  if (skip) return;
  beacon.on('request', ({ url }) => hits.push(String(url)));
  beacon.listen(0, '127.0.0.1');
  await once(beacon, 'listening');
  beaconUrl = `http://127.0.0.1:${(beacon.address() as { port: number }).port}`;
  browser = await startChromium();
});
after(async () => {
  await browser?.close();
  beacon.close();
});

interface Seen {
  page: Page;
  file: string;
  dialogs: string[];
  requests: string[];
  console: string[];
}

/** Opens the page as somebody does who got it as a file. */
async function open(
  html: string,
  options: BrowserContextOptions,
  look: (seen: Seen) => Promise<void>,
): Promise<void> {
  await inFolder(async (folder) => {
    const file = join(folder, 'diff.html');
    writeFileSync(file, html);
    const context = await browser.newContext({ viewport: { width: 1366, height: 768 }, ...options });
    try {
      const page = await context.newPage();
      const seen: Seen = { page, file: pathToFileURL(file).href, dialogs: [], requests: [], console: [] };
      page.on('dialog', (dialog) => {
        seen.dialogs.push(dialog.message());
        void dialog.dismiss();
      });
      page.on('request', (request) => seen.requests.push(request.url()));
      page.on('console', (message) => seen.console.push(message.text()));
      page.on('pageerror', (error) => seen.console.push(String(error)));
      await page.goto(seen.file, { waitUntil: 'load' });
      await look(seen);
      assert.deepEqual(seen.dialogs, []);
      assert.deepEqual(hits, []);
    } finally {
      await context.close();
    }
  });
}

/** The page did not even try. */
const assertQuiet = ({ file, requests, console: said }: Seen) => {
  assert.deepEqual(requests, [file]);
  assert.deepEqual(said, []);
};

const runs = (): [Recording, Recording] => {
  const of = (seat: string) => {
    const history = [text('system', 'You book flights.'), text('user', 'To Seattle.')];
    const answer: Message = { role: 'assistant', parts: [toolUse('book', { flight: 'HAT1' })] };
    return recording([
      ...Array.from({ length: 5 }, () => call({ input: history, output: [text('assistant', 'thinking')] })),
      call({ input: history, output: [answer] }),
      tool({ tool: 'book', arguments: '{"flight":"HAT1"}', result: `{"ok":true,"seat":"${seat}"}` }),
      call({ input: [...history, answer], output: [text('assistant', `Booked, seat ${seat}.`)] }),
      statement(),
    ]);
  };
  return [of('4A'), of('9F')];
};

test('the first divergence is in sight, what is alike is folded, keys and buttons go through the rest', {
  skip,
}, async () => {
  const html = diffPage(diffRecordings(...runs()));
  for (const colorScheme of ['light', 'dark'] as const)
    await open(html, { colorScheme }, async ({ page, ...seen }) => {
      const first = page.locator('#first');
      assert.match(await first.locator('summary').innerText(), /7 maker: tool book changed first divergence/);
      assert.ok(await first.locator('del').isVisible());
      assert.deepEqual(await first.locator('del, ins').allInnerTexts(), ['"4A"', '"9F"']);
      const box = (await first.boundingBox())!;
      assert.ok(box.y + box.height < 768 && box.x >= 0 && box.x + box.width <= 1366);
      assert.ok(await isReadable(page, '#first pre'));
      assert.ok(!(await page.getByText('1 maker: model call gpt-4o').isVisible()));

      await page.getByText('4 steps in which nothing differs').click();
      assert.ok(await page.getByText('1 maker: model call gpt-4o').isVisible());

      const answer = page.locator('details[data-differs]').nth(1);
      await page.keyboard.press('n');
      await page.keyboard.press('n');
      assert.ok(await answer.locator('ins').first().isVisible());
      assert.equal(await page.evaluate('document.activeElement.parentElement.dataset.differs'), '');
      await page.getByRole('button', { name: 'close all' }).click();
      assert.equal(await page.locator('details[open]').count(), 0);
      await page.keyboard.press('o');
      assert.equal(await page.locator('details:not([open])').count(), 0);
      assertQuiet({ page, ...seen });
    });
});

test('without JavaScript the page is whole and folds by hand', { skip }, async () => {
  await open(diffPage(diffRecordings(...runs())), { javaScriptEnabled: false }, async ({ page }) => {
    assert.ok(await page.locator('#first del').isVisible());
    assert.ok(!(await page.getByRole('button').first().isVisible()));
    await page.locator('details[data-differs] > summary').nth(1).click();
    assert.ok(await page.locator('details[data-differs] ins').nth(1).isVisible());
  });
});

const hostile = (url: string): string[] => [
  `<script>window.pwned=1;alert(1)</script>`,
  `</script><script src="${url}/script.js"></script>`,
  `<img src="${url}/image.png" onerror="window.pwned=1">`,
  `"><svg onload="window.pwned=1"><use href="${url}/svg#x"/></svg>`,
  `' onmouseover='window.pwned=1' autofocus onfocus='window.pwned=1`,
  `<a href="javascript:window.pwned=1" id="first">click</a>`,
  `</pre></dd></dl></div></details></main><iframe srcdoc="<script>parent.pwned=1</script>"></iframe>`,
  `</title></style><link rel="stylesheet" href="${url}/style.css"><style>@import "${url}/import.css";</style>`,
  `--><!--<![CDATA[<form action="${url}/form"><input name=a></form>]]>-->`,
  `<meta http-equiv="refresh" content="0;url=${url}/refresh"><base href="${url}/">`,
  `\${alert(1)} {{constructor.constructor('alert(1)')()}} <%= 1 %> #{1}`,
  `&lt;script&gt;alert(1)&lt;/script&gt; &#60;img src=x onerror=alert(1)&#62; &NotEqualTilde;`,
  `\u202e</tpircs>\u2066evil\u2069 \u0000\u0008\u001b[2J \u2028window.pwned=1\u2029 \ufeff\u200b\u00ad\ud800 tail`,
  `<\u0000script>window.pwned=1</\u0000script><ſcript>window.pwned=1</ſcript>＜script＞`,
  `<details open ontoggle="window.pwned=1"><summary>x</summary></details><dialog open>x</dialog>`,
  `<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=window.pwned=1&gt;">`,
  `${'<b>'.repeat(20_000)}${'A'.repeat(200_000)}`,
];

/** A run that has `at(n)` in every field that is text. */
function hostileRun(at: (n: number) => string, side: string): Recording {
  let n = 0;
  const next = () => `${at(n++)}${side}`;
  const same = (i: number) => at(i);
  const message = (role: string): Message => ({
    role,
    parts: [
      { type: 'text', content: next() },
      { type: same(3), content: next(), [next()]: next() },
      { type: 'tool_call', id: next(), name: same(5), arguments: { [next()]: next() } },
      { type: 'tool_call_response', id: next(), response: next() },
    ],
  });
  const steps = (i: number) => [
    call({
      agent: same(i),
      parentAgent: same(i + 1),
      provider: next(),
      model: next(),
      servedModel: next(),
      parameters: { [same(i)]: next() },
      promptVersion: next(),
      toolsVersion: next(),
      toolDefinitions: JSON.stringify([{ [next()]: next() }]),
      input: [message(same(i)), message(next())],
      output: [message(same(i))],
      finishReasons: [next()],
      error: next(),
    }),
    tool({ agent: same(i), tool: same(i), callId: next(), arguments: next(), result: next(), error: next() }),
    tool({
      agent: same(i),
      tool: `${same(i)}2`,
      arguments: JSON.stringify({ [next()]: [next()] }),
      result: JSON.stringify([next(), { [same(i)]: next() }]),
    }),
    tool({ tool: next(), arguments: next(), result: null }),
    statement({ agent: same(i), name: same(i), error: next() }),
    statement({ kind: 'effect', name: next() }),
  ];
  return recording(Array.from({ length: hostile('').length }, (_, i) => steps(i)).flat(), {
    loop: next(),
    run: next(),
    traceId: next(),
    replayOf: next(),
    state: next() as 'ended',
    versions: { model: next(), servedModel: next(), prompt: next(), tools: next(), checker: next() },
    verdict: { pass: side === 'a', checker: next() },
    itemId: next(),
    gaps: [{ what: 'input', steps: [], why: 'redacted', message: next() }],
  });
}

/** Everything the page is made of. */
const ELEMENTS =
  'html head meta title style body h1 h2 p table thead tbody tr th td dl dt dd pre del ins b span nav button main details summary div script'.split(
    ' ',
  );
const ATTRIBUTES =
  'lang charset http-equiv content name class hidden type data-does data-differs open id'.split(' ');

for (const bypassCSP of [false, true])
  test(`hostile text in every field is text and nothing else${bypassCSP ? ', without the policy too' : ''}`, {
    skip,
  }, async () => {
    const payloads = hostile(beaconUrl);
    const at = (n: number) => payloads[n % payloads.length]!;
    const html = diffPage(diffRecordings(hostileRun(at, 'a'), hostileRun(at, 'b')));
    await open(html, { bypassCSP }, async ({ page, ...seen }) => {
      await page.evaluate('document.querySelectorAll("details").forEach((d) => { d.open = true; })');
      for (const type of ['mouseover', 'focus', 'toggle', 'click'])
        await page.evaluate(
          `document.querySelectorAll("body *").forEach((e) => e.dispatchEvent(new Event("${type}")))`,
        );
      assert.equal(await page.evaluate('window.pwned'), undefined);
      const made = await page.evaluate<{
        elements: string[];
        attributes: string[];
        scripts: number;
        text: string;
      }>(`({
        elements: [...new Set([...document.querySelectorAll('*')].map((e) => e.localName))],
        attributes: [...new Set([...document.querySelectorAll('*')].flatMap((e) => [...e.attributes].map((a) => a.name)))],
        scripts: document.scripts.length + document.styleSheets.length,
        text: document.body.textContent,
      })`);
      assert.deepEqual(
        made.elements.filter((name) => !ELEMENTS.includes(name)),
        [],
      );
      assert.deepEqual(
        made.attributes.filter((name) => !ATTRIBUTES.includes(name)),
        [],
      );
      assert.equal(made.scripts, 2);
      // Shown as what it is; what is cut is so far beyond.
      for (const payload of payloads) {
        const shown = payload
          .slice(0, 60)
          .toWellFormed()
          .replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, unseen);
        assert.ok(made.text.includes(shown) || made.text.includes(JSON.stringify(shown).slice(1, -1)), shown);
      }
      assert.ok(await page.locator('#first').isVisible());
      assert.equal(await page.evaluate('document.documentElement.scrollWidth <= window.innerWidth'), true);
      assertQuiet({ page, ...seen });
    });
  });

test('the policy alone keeps script and requests out of a page that somebody tampered with', {
  skip,
}, async () => {
  const html = diffPage(diffRecordings(...runs())).replace(
    '<main>',
    `<main><script>window.pwned=1</script><img src="${beaconUrl}/x" onerror="window.pwned=1">`,
  );
  await open(html, {}, async ({ page, console: said }) => {
    assert.equal(await page.evaluate('window.pwned'), undefined);
    assert.ok(said.length > 0); // the browser says what it refused
  });
});

const unseen = (character: string) =>
  character === '\n' || character === '\t'
    ? character
    : `U+${character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}`;

/** Whether text and what lies behind it differ enough in lightness, by WCAG's contrast of 4.5. */
async function isReadable(page: Page, selector: string): Promise<boolean> {
  const [ink, paper] = await page.evaluate<[number[], number[]]>(`(() => {
    const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
    const rgb = (colour) => { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data]; };
    const style = getComputedStyle(document.querySelector(${JSON.stringify(selector)}));
    return [rgb(style.color), rgb(style.backgroundColor)];
  })()`);
  const lightness = (rgb: number[]) => {
    const [r, g, b] = rgb.map((value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
  };
  const [low, high] = [lightness(ink), lightness(paper)].sort((x, y) => x - y);
  return (high! + 0.05) / (low! + 0.05) >= 4.5;
}
