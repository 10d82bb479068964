import { writeSync } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, rename, unlink } from 'node:fs/promises';

/**
 * Every operation on disk that the spool does, and no other way to the disk: so that a test can fail or end the
 * process at each of them. Each rejects with the operating system's error.
 */
export interface Files {
  makeFolder(path: string): Promise<void>;
  list(folder: string): Promise<string[]>;
  /** A new file; fails where there is one. */
  create(path: string): Promise<OpenFile>;
  open(path: string): Promise<OpenFile>;
  rename(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
  /** Makes the folder's entries durable: files created, renamed and removed. */
  syncFolder(path: string): Promise<void>;
}

export interface OpenFile {
  /** Fills `buffer` from `position`; fewer bytes than it holds only at the end of the file. */
  read(buffer: Buffer, position: number): Promise<number>;
  /** Writes all of `bytes`. */
  write(bytes: Uint8Array, position: number): Promise<void>;
  /** The same before it returns, for small pieces that need not be forced; missing where that is not wanted. */
  writeNow?(bytes: Uint8Array, position: number): void;
  /** Makes what was written durable. */
  datasync(): Promise<void>;
  truncate(length: number): Promise<void>;
  size(): Promise<number>;
  close(): Promise<void>;
}

/** The operating system's own. */
export const nodeFiles: Files = {
  makeFolder: async (path) => {
    await mkdir(path, { recursive: true, mode: 0o700 }); // there are prompts in it
  },
  list: (folder) => readdir(folder),
  create: (path) => openFile(path, 'wx+'),
  open: (path) => openFile(path, 'r+'),
  rename,
  unlink,
  syncFolder: async (path) => {
    const folder = await open(path, 'r');
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  },
};

const writeAll = async (handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> => {
  let at = 0;
  while (at < bytes.length) {
    const { bytesWritten } = await handle.write(bytes, at, bytes.length - at, position + at);
    at += bytesWritten;
  }
};

/**
 * The same, where what is small can be written at once: a record, or the cursor. What is not forced goes to the memory of the
 * system: some microseconds, against as many tens to have another thread do it and to hear of it.
 *
 * In a new file room is taken ahead, as zeros: to take it for each record costs as much again as to write that. What is left of it goes
 * when the file is closed; after a kill it is there, and is no record.
 */
export const writingAtOnce: Files = {
  ...nodeFiles,
  open: async (path) => {
    const handle = await open(path, 'r+', 0o600);
    return { ...opened(handle), writeNow: (bytes, position) => writeAllNow(handle, bytes, position) };
  },
  create: async (path) => {
    const handle = await open(path, 'wx+', 0o600);
    const file = opened(handle);
    let end = 0;
    let roomEnd = 0;
    return {
      ...file,
      writeNow: (bytes, position) => {
        end = position + bytes.length;
        // A large one takes its room itself.
        if (end > roomEnd && bytes.length < ROOM.length)
          roomEnd = takeRoom(handle, Math.max(roomEnd, position));
        writeAllNow(handle, bytes, position);
      },
      truncate: async (length) => {
        await file.truncate(length);
        end = roomEnd = length;
      },
      close: async () => {
        if (roomEnd > end) await file.truncate(end).catch(() => {}); // zeros are no record
        await file.close();
      },
    };
  },
};

const ROOM = Buffer.alloc(128 * 1024);

/** Gives where it ends. */
function takeRoom(handle: FileHandle, from: number): number {
  try {
    writeAllNow(handle, ROOM, from);
    return from + ROOM.length;
  } catch {
    return from; // the disk may be full and yet have room for the record: its own write says
  }
}

function writeAllNow({ fd }: FileHandle, bytes: Uint8Array, position: number): void {
  let at = 0;
  while (at < bytes.length) at += writeSync(fd, bytes, at, bytes.length - at, position + at);
}

const openFile = async (path: string, flags: string): Promise<OpenFile> =>
  opened(await open(path, flags, 0o600));

function opened(handle: FileHandle): OpenFile {
  return {
    read: async (buffer, position) => {
      let at = 0;
      while (at < buffer.length) {
        const { bytesRead } = await handle.read(buffer, at, buffer.length - at, position + at);
        if (bytesRead === 0) break;
        at += bytesRead;
      }
      return at;
    },
    write: (bytes, position) => writeAll(handle, bytes, position),
    datasync: () => handle.datasync(),
    truncate: (length) => handle.truncate(length),
    size: async () => (await handle.stat()).size,
    close: () => handle.close(),
  };
}

/** The same without waiting for the disk: what is written survives the end of the process, not a power cut. */
export function withoutSync(files: Files): Files {
  const unsynced = (file: OpenFile): OpenFile => ({ ...file, datasync: async () => {} });
  return {
    ...files,
    create: async (path) => unsynced(await files.create(path)),
    open: async (path) => unsynced(await files.open(path)),
    syncFolder: async () => {},
  };
}

/** Reads `[from, to)` of a file, or as much of it as there is. */
export async function readRange(file: OpenFile, from: number, to: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(Math.max(0, to - from));
  return buffer.subarray(0, await file.read(buffer, from));
}

/** Opens, works and closes, whatever happens. */
export async function using<T>(opened: Promise<OpenFile>, work: (file: OpenFile) => Promise<T>): Promise<T> {
  const file = await opened;
  try {
    return await work(file);
  } finally {
    await file.close().catch(() => {}); // what it was opened for is done, or its own error says more
  }
}
