import cluster, { type Worker } from 'node:cluster';
import { compiledCodeFolder } from '../compiled-code.ts';
import { LoopscopeError } from '../errors.ts';
import type { FromWorker, Question, SentConfig, SentLoops, ToWorker } from './messages.ts';

/** One life of a worker, as the primary process sees it: from its start until it has ended. */
export class WorkerProcess {
  /** Which worker it is; its successor is the same. */
  readonly worker: number;
  /** Resolves with how it ended: the signal that killed it, else `exit`. */
  readonly ended: Promise<string>;
  /** Resolves with its address when it takes calls. Rejects with its refusal, or where it ended before. */
  readonly listening: Promise<string>;
  readonly #process: Worker;
  readonly #asked = new Map<number, (answer: string | undefined) => void>();
  #nextId = 0;
  #scraping: Promise<string | undefined> | undefined;

  constructor(
    worker: number,
    given: { config: SentConfig; loops: SentLoops },
    scrape: () => Promise<string>,
  ) {
    this.worker = worker;
    this.#process = cluster.fork({ NODE_COMPILE_CACHE: compiledCodeFolder() });
    const listening = Promise.withResolvers<string>();
    listening.promise.catch(() => {}); // whoever waits for it hears of it
    this.listening = listening.promise;
    this.#process.on('message', (message: FromWorker) => {
      if (message.kind === 'listening') listening.resolve(message.url);
      else if (message.kind === 'refused')
        listening.reject(new LoopscopeError(message.code, message.message));
      else if (message.kind === 'answer') this.#answer(message.id, message.text);
      else scrape().then((text) => this.#send({ kind: 'scraped', id: message.id, text }));
    });
    this.ended = new Promise((resolve) => {
      this.#process.on('exit', (code, signal) => {
        listening.reject(
          new LoopscopeError('worker_died', `Worker ${worker} of the gateway ended (${signal ?? code}).`),
        );
        for (const id of this.#asked.keys()) this.#answer(id, undefined);
        resolve(signal || 'exit');
      });
    });
    this.#send({ kind: 'start', worker, ...given });
  }

  get pid(): number | undefined {
    return this.#process.process.pid;
  }

  settings(config: SentConfig): void {
    this.#send({ kind: 'settings', config });
  }

  registry(loops: SentLoops): void {
    this.#send({ kind: 'registry', loops });
  }

  /** Resolves when the collector has every span that it has finished now, or with its end. */
  async flush(): Promise<void> {
    await this.#ask('flush');
  }

  /** Its own metrics; `undefined` where it ends before it answers. Who asks meanwhile shares the answer. */
  metrics(): Promise<string | undefined> {
    this.#scraping ??= this.#ask('metrics').finally(() => {
      this.#scraping = undefined;
    });
    return this.#scraping;
  }

  /** Asks it to drain and end. */
  close(): void {
    this.#send({ kind: 'close' });
  }

  kill(): void {
    this.#process.process.kill('SIGKILL');
  }

  #ask(what: Question): Promise<string | undefined> {
    if (!this.#process.isConnected()) return Promise.resolve(undefined);
    const id = this.#nextId++;
    return new Promise((resolve) => {
      this.#asked.set(id, resolve);
      this.#send({ kind: 'ask', id, what });
    });
  }

  #answer(id: number, text: string | undefined): void {
    this.#asked.get(id)?.(text);
    this.#asked.delete(id);
  }

  #send(message: ToWorker): void {
    // One that is gone hears nothing, and `ended` says so.
    if (this.#process.isConnected()) this.#process.send(message, () => {});
  }
}
