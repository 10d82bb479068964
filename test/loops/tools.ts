import { appendFileSync } from 'node:fs';

/** The tools of the test loops. Each use is a line in the file that LOOP_LOG names: what is there was carried out. */
export function useTool(name: string, given: unknown): string {
  const log = process.env['LOOP_LOG'];
  if (log) appendFileSync(log, `${name} ${JSON.stringify(given)}\n`);
  if (name === 'look_up_order') return JSON.stringify({ id: 7, state: 'late', days: 3 });
  if (name === 'close_ticket') return 'closed';
  return `there is no tool ${name}`;
}

/** What the loop says of its run, to the gateway that its calls go through. */
export async function say(run: string, what: string, body: object): Promise<void> {
  const gateway = process.env['LOOPSCOPE_GATEWAY_URL'];
  const response = await fetch(`${gateway}/loops/desk/runs/${run}/${what}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${what}: ${response.status} ${await response.text()}`);
}

export const MAKER =
  'You run the support desk. Look things up, ask the researcher, and answer in a sentence.';
export const RESEARCHER = 'You research. Answer in a sentence.';
export const REVIEWER = 'You review. Answer with {"pass": true} or {"pass": false}.';
export const TASK = 'Ticket 7: where is my order?';
