import { join } from 'node:path';
import { type Files, using } from './files.ts';
import { segmentName } from './segment.ts';

/** Why bytes of the spool were not delivered. */
export type SetAsideReason =
  /** They do not check: the disk gave back something else than was written. */
  | 'corrupt'
  /** ClickHouse will not have the record. */
  | 'rejected'
  /** A file that is not the segment its name says. */
  | 'foreign'
  /** A segment that another release wrote, in a format this one does not read. */
  | 'unknown_version';

/** What is kept of it in all; past it bytes are counted and dropped. */
const KEPT_BYTES_MAX = 256 * 1024 * 1024;

/**
 * Keeps what could not be delivered in `<spool>/rejected/`, for a person to look at. A file's name follows from where
 * its bytes were, so that the same bytes found again after a restart are the same file.
 */
export class SetAside {
  private readonly files: Files;
  readonly folder: string;
  private bytes = 0;
  private readonly names = new Set<string>();

  constructor(files: Files, spoolFolder: string) {
    this.files = files;
    this.folder = join(spoolFolder, 'rejected');
  }

  async open(): Promise<void> {
    await this.files.makeFolder(this.folder);
    await this.files.syncFolder(this.folder); // what is found here is taken for kept
    for (const name of await this.files.list(this.folder)) {
      this.names.add(name);
      this.bytes += await using(this.files.open(join(this.folder, name)), (file) => file.size());
    }
  }

  /** `false` when it was there already, or there is no room for it. */
  async keep(reason: SetAsideReason, segment: number, offset: number, bytes: Buffer): Promise<boolean> {
    const name = `${segmentName(segment).replace('.seg', '')}-${offset}.${reason}`;
    if (this.names.has(name) || this.bytes + bytes.length > KEPT_BYTES_MAX) return false;
    const path = join(this.folder, name);
    const temporary = `${path}.tmp`;
    await this.files.unlink(temporary).catch(() => {}); // of a try that failed, if there was one
    await using(this.files.create(temporary), async (file) => {
      await file.write(bytes, 0);
      await file.datasync();
    });
    await this.files.rename(temporary, path);
    await this.files.syncFolder(this.folder);
    this.names.add(name);
    this.bytes += bytes.length;
    return true;
  }

  /** Moves a whole file of the spool there. A power cut can move it back, to be found again. */
  async move(reason: SetAsideReason, path: string, name: string): Promise<void> {
    await this.files.rename(path, join(this.folder, `${name}.${reason}`));
  }
}
