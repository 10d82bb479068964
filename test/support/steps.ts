import type { Files, OpenFile } from '../../src/spool/files.ts';

/** Operations that change what is on disk. */
export const CHANGES = ['create', 'write', 'datasync', 'truncate', 'rename', 'unlink', 'syncFolder'] as const;
export type Operation = (typeof CHANGES)[number] | 'makeFolder' | 'list' | 'open' | 'read' | 'size';

/** One operation on its way to the disk. */
export interface Step {
  operation: Operation;
  work(): Promise<void>;
  /** The first half of a write; nothing of any other operation. */
  half(): Promise<void>;
}

/** `files`, with `around` in charge of every operation but `close`: it does the work, or fails, or ends the process. */
export function filesAround(files: Files, around: (step: Step) => Promise<void>): Files {
  const step = async <T>(operation: Operation, run: () => Promise<T>, half = async () => {}): Promise<T> => {
    let result: { value: T } | undefined;
    const work = async () => {
      result = { value: await run() };
    };
    await around({ operation, work, half });
    if (!result) throw new Error(`${operation} was left out`);
    return result.value;
  };
  const wrap = (file: OpenFile): OpenFile => ({
    read: (buffer, position) => step('read', () => file.read(buffer, position)),
    write: (bytes, position) =>
      step(
        'write',
        () => file.write(bytes, position),
        () => file.write(bytes.subarray(0, bytes.length >> 1), position),
      ),
    datasync: () => step('datasync', () => file.datasync()),
    truncate: (length) => step('truncate', () => file.truncate(length)),
    size: () => step('size', () => file.size()),
    close: () => file.close(),
  });
  return {
    makeFolder: (path) => step('makeFolder', () => files.makeFolder(path)),
    list: (folder) => step('list', () => files.list(folder)),
    create: (path) => step('create', async () => wrap(await files.create(path))),
    open: (path) => step('open', async () => wrap(await files.open(path))),
    rename: (from, to) => step('rename', () => files.rename(from, to)),
    unlink: (path) => step('unlink', () => files.unlink(path)),
    syncFolder: (path) => step('syncFolder', () => files.syncFolder(path)),
  };
}

/** Where a life ends: around the `at`-th change, counted from 1. */
export interface End {
  at: number;
  moment: 'before' | 'middle' | 'after';
}

/** `files` until the end: then `die` is called, which ends the process or makes it look so. */
export function endingAt(files: Files, { at, moment }: End, die: (operation: Operation) => void): Files {
  let changes = 0;
  return filesAround(files, async ({ operation, work, half }) => {
    const isChange = (CHANGES as readonly string[]).includes(operation);
    if (!isChange || ++changes !== at) return work();
    if (moment === 'after') await work();
    if (moment === 'middle') await half();
    return die(operation);
  });
}

/** Where a disk fails: at the `at`-th change, counted from 1, and at those after it, `times` in all. */
export interface Failure {
  at: number;
  times: number;
  code: 'EIO' | 'ENOSPC';
}

/** `files` of a disk that fails now and then; of a write that fails, the first half was done. */
export function failingAt(
  files: Files,
  { at, times, code }: Failure,
  onFailure: (operation: Operation) => void,
): Files {
  let changes = 0;
  return filesAround(files, async ({ operation, work, half }) => {
    const isChange = (CHANGES as readonly string[]).includes(operation);
    if (isChange) changes++;
    if (!isChange || changes < at || changes >= at + times) return work();
    await half();
    onFailure(operation);
    throw Object.assign(new Error(`${code}: ${operation}`), { code });
  });
}
