import { dirname } from 'node:path';
import type { Files, OpenFile } from '../../src/spool/files.ts';

interface Inode {
  bytes: Buffer;
  /** As they were when last forced to the disk. */
  durable: Buffer;
}

interface EntryChange {
  folder: string;
  apply(entries: Map<string, Inode>): void;
}

/** What the disk keeps to itself: it says that it forced what it did not. */
export type Lie = 'datasync' | 'syncFolder';

/**
 * A disk in memory that knows what it was asked to force. The end of a process takes nothing from it; a power cut
 * (`afterPowerCut`) may take all that was not forced: bytes written and truncations of each file by itself, and changes
 * to folders: those from some point on, as of a file system with a journal, or any of them.
 */
export class MemoryDisk {
  private readonly entries = new Map<string, Inode>();
  private readonly durableEntries = new Map<string, Inode>();
  private unsynced: EntryChange[] = [];
  private readonly lie: Lie | undefined;

  constructor(lie?: Lie) {
    this.lie = lie;
  }

  /** The files there are, by path. */
  get paths(): string[] {
    return [...this.entries.keys()].sort();
  }

  bytesOf(path: string): Buffer | undefined {
    return this.entries.get(path)?.bytes;
  }

  /** Puts a file there, durable. */
  put(path: string, bytes: Buffer): void {
    const inode = { bytes: Buffer.from(bytes), durable: Buffer.from(bytes) };
    this.entries.set(path, inode);
    this.durableEntries.set(path, inode);
  }

  remove(path: string): void {
    this.entries.delete(path);
    this.durableEntries.delete(path);
  }

  /** The same files, all of them durable. */
  copy(): MemoryDisk {
    const other = new MemoryDisk(this.lie);
    for (const [path, { bytes }] of this.entries) other.put(path, bytes);
    return other;
  }

  /** What is found after a power cut: with `random` some of what was not forced, else none of it. */
  afterPowerCut(random?: () => number): MemoryDisk {
    const entries = new Map(this.durableEntries);
    for (const change of random ? someOf(this.unsynced, random) : []) change.apply(entries);
    const other = new MemoryDisk(this.lie);
    for (const [path, { bytes, durable }] of entries) {
      other.put(path, random ? partOf(bytes, durable, random) : durable);
    }
    return other;
  }

  readonly files: Files = {
    makeFolder: async () => {},
    list: async (folder) =>
      [...this.entries.keys()]
        .filter((path) => dirname(path) === folder)
        .map((path) => path.slice(folder.length + 1)),
    create: async (path) => {
      if (this.entries.has(path)) throw failure('EEXIST', path);
      const inode = { bytes: Buffer.alloc(0), durable: Buffer.alloc(0) };
      this.change(dirname(path), (entries) => entries.set(path, inode));
      return this.opened(inode);
    },
    open: async (path) => this.opened(this.find(path)),
    rename: async (from, to) => {
      const inode = this.find(from);
      this.change(dirname(to), (entries) => {
        entries.delete(from);
        entries.set(to, inode);
      });
    },
    unlink: async (path) => {
      this.find(path);
      this.change(dirname(path), (entries) => entries.delete(path));
    },
    syncFolder: async (folder) => {
      if (this.lie === 'syncFolder') return;
      for (const { apply } of this.unsynced.filter((change) => change.folder === folder))
        apply(this.durableEntries);
      this.unsynced = this.unsynced.filter((change) => change.folder !== folder);
    },
  };

  private change(folder: string, apply: EntryChange['apply']): void {
    apply(this.entries);
    this.unsynced.push({ folder, apply });
  }

  private find(path: string): Inode {
    const inode = this.entries.get(path);
    if (!inode) throw failure('ENOENT', path);
    return inode;
  }

  private opened(inode: Inode): OpenFile {
    return {
      read: async (buffer, position) => inode.bytes.subarray(position).copy(buffer),
      write: async (bytes, position) => {
        const length = Math.max(inode.bytes.length, position + bytes.length);
        const written = Buffer.alloc(length);
        inode.bytes.copy(written);
        written.set(bytes, position);
        inode.bytes = written; // a new one: `durable` may be the old
      },
      datasync: async () => {
        if (this.lie !== 'datasync') inode.durable = inode.bytes;
      },
      truncate: async (length) => {
        inode.bytes = Buffer.from(inode.bytes.subarray(0, length));
      },
      size: async () => inode.bytes.length,
      close: async () => {},
    };
  }
}

/** The first ones, or any of them. */
function someOf(changes: readonly EntryChange[], random: () => number): readonly EntryChange[] {
  if (random() < 0.5) return changes.slice(0, Math.floor(random() * (changes.length + 1)));
  return changes.filter(() => random() < 0.5);
}

/** One of what a file may be after a power cut: as forced, as written, or cut or mixed somewhere in between. */
function partOf(bytes: Buffer, durable: Buffer, random: () => number): Buffer {
  const choice = random();
  if (choice < 0.4) return durable;
  if (choice < 0.6) return bytes;
  const start = Math.min(bytes.length, durable.length);
  const length = start + Math.floor(random() * (Math.max(bytes.length, durable.length) - start + 1));
  const mixed = Buffer.alloc(length); // space that was reserved and not written is zeros
  for (let at = 0; at < length; at += PAGE_BYTES) {
    const source = random() < 0.5 ? bytes : durable;
    if (at < source.length) source.copy(mixed, at, at, Math.min(at + PAGE_BYTES, length));
  }
  return mixed;
}

const PAGE_BYTES = 512;

const failure = (code: string, path: string) => Object.assign(new Error(`${code}: ${path}`), { code });
