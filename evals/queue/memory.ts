import type { Job, Queue, Work } from './queue.ts';

/** A queue for the one process that runs jobs: those in it are those in hand, so none outlives the process. */
export function createMemoryQueue(work: Work): Queue {
  const inHand = new Map<string, Promise<void>>();
  let isClosed = false;
  return {
    add: async (job: Job) => {
      if (isClosed || inHand.has(job.suite)) return;
      inHand.set(
        job.suite,
        work(job).finally(() => inHand.delete(job.suite)),
      );
    },
    isBusy: (suite) => inHand.has(suite),
    whyAway: () => undefined,
    close: async () => {
      isClosed = true;
      await Promise.all(inHand.values());
    },
  };
}
