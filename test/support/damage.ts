import { basename, dirname, join } from 'node:path';
import type { MemoryDisk } from './memory-disk.ts';

/** Ways in which what is on a disk comes to differ from what was written. */
export const DAMAGES = [
  'flip',
  'zeros',
  'noise',
  'cut',
  'lengthen',
  'missing',
  'copy',
  'replace',
  'swap',
  'garbage',
  'other spool',
] as const;
export type Damage = (typeof DAMAGES)[number];

/** What befalls any file; the others are about segments. */
const ANY_FILE: readonly Damage[] = ['flip', 'zeros', 'noise', 'cut', 'lengthen', 'missing'];
const PAGE_BYTES = 512;

/**
 * Does `damage` to some of the segments, to the cursor or a file of digests, or (`garbage`) beside them. `other` is the
 * disk of another spool.
 */
export function damaged(
  original: MemoryDisk,
  damage: Damage,
  other: MemoryDisk,
  random: () => number,
): MemoryDisk {
  const int = (n: number) => Math.floor(random() * n);
  const noise = (n: number) => Buffer.from(Array.from({ length: n }, () => int(256)));
  const disk = original.copy();
  const segments = disk.paths.filter((path) => path.endsWith('.seg'));
  const pick = () => segments[int(segments.length)]!;
  const others = disk.paths.filter((name) => !segments.includes(name));
  const path = ANY_FILE.includes(damage) && int(4) === 0 ? others[int(others.length)]! : pick();
  const bytes = Buffer.from(disk.bytesOf(path)!);
  // Of the cursor's two places the part that is written on, else nearly all damage would be to zeros.
  const at = path.endsWith('cursor') ? int(2) * 65_536 + int(400) : int(bytes.length);
  const page = [at - (at % PAGE_BYTES), Math.min(bytes.length, at - (at % PAGE_BYTES) + PAGE_BYTES)] as const;
  switch (damage) {
    case 'flip':
      bytes[at]! ^= 1 << int(8);
      for (let n = int(3); n > 0; n--) bytes[int(bytes.length)]! ^= 1 << int(8);
      break;
    case 'zeros':
      bytes.fill(0, ...page);
      break;
    case 'noise':
      noise(page[1] - page[0]).copy(bytes, page[0]);
      break;
    case 'cut':
      disk.put(path, bytes.subarray(0, at));
      return disk;
    case 'lengthen':
      disk.put(path, Buffer.concat([bytes, int(2) ? noise(1 + int(900)) : Buffer.alloc(1 + int(900))]));
      return disk;
    case 'missing':
      disk.remove(path);
      return disk;
    case 'copy':
      disk.put(renumbered(path, 40 + int(50)), bytes);
      return disk;
    case 'replace':
      disk.put(pick(), bytes);
      return disk;
    case 'swap': {
      const second = pick();
      disk.put(path, disk.bytesOf(second)!);
      disk.put(second, bytes);
      return disk;
    }
    case 'garbage': {
      const folder = dirname(path);
      const names = [
        'x',
        'a.tmp',
        `${int(1e6)}.seg`,
        basename(renumbered(path, int(90)), '.seg').concat('.digests'),
      ];
      for (const name of names)
        if (int(2) && !disk.bytesOf(join(folder, name))) disk.put(join(folder, name), noise(int(300)));
      disk.put(renumbered(path, 40 + int(50)), noise(int(700)));
      return disk;
    }
    case 'other spool': {
      const theirs = other.paths.filter((name) => name.endsWith('.seg'));
      disk.put(renumbered(path, 40 + int(50)), other.bytesOf(theirs[int(theirs.length)]!)!);
      return disk;
    }
  }
  disk.put(path, bytes);
  return disk;
}

const renumbered = (path: string, number: number) =>
  join(dirname(path), `${String(number).padStart(16, '0')}.seg`);
