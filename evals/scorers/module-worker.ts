import { pathToFileURL } from 'node:url';
import { parentPort, workerData } from 'node:worker_threads';
import type { ScoreReply, ScoreRequest } from './module.ts';

/** The thread a user's scorer runs in: imports the module once and answers each request with a score or an error. */
const file = workerData as string;
const imported: Promise<{ default?: unknown }> = import(pathToFileURL(file).href);
imported.catch(() => {}); // told with the first answer

parentPort!.on('message', async (request: ScoreRequest) => {
  parentPort!.postMessage(await answer(request));
});

async function answer({ output, expected, item }: ScoreRequest): Promise<ScoreReply> {
  try {
    const { default: score } = await imported;
    if (typeof score !== 'function')
      return { error: `${file}: expected a default export that is a function, found ${typeof score}` };
    return { score: await score(output, expected, item) };
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) };
  }
}
