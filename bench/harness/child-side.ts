/** The other end of child.ts: what a script that a benchmark starts does to be asked. */

/** The settings that the parent handed over. */
export const settings = <T>(): T => JSON.parse(process.argv[2] ?? '{}') as T;

/**
 * Says that the process is ready, then answers questions by `answer`. Ends the process when the parent asks for
 * that or is gone; `close` first puts things in order.
 */
export function serve<Question>(
  ready: object,
  answer: (question: Question) => Promise<object> | object,
  close: () => Promise<void> | void = () => {},
): void {
  const end = async () => {
    await close();
    process.exit(0);
  };
  process.once('SIGTERM', () => void end());
  process.once('disconnect', () => process.exit(0));
  process.on('message', async (question) => {
    try {
      process.send!(await answer(question as Question));
    } catch (error) {
      process.send!({ error: (error as Error).message });
    }
  });
  process.send!(ready);
}
