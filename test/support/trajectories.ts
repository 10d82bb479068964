import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { trajectoryToRecording } from '../../src/replay/record/trajectories.ts';
import type { Recording } from '../../src/replay/recording.ts';

const folder = process.env['LOOPSCOPE_TEST_DATA'] ?? join(import.meta.dirname, '../../../shared/data');
const file = join(folder, 'tau-bench/gpt-4o-airline.json');

/** Why the trajectories cannot be had; `false` where they are there. For `skip` of a test. */
export const trajectoriesAbsent: string | false = existsSync(file)
  ? false
  : `needs ${file} (LOOPSCOPE_TEST_DATA says where)`;

/** The 200 trajectories of tau-bench's airline, each a run of `loop`. */
export function trajectories(loop: string): Recording[] {
  const list = JSON.parse(readFileSync(file, 'utf8')) as unknown[];
  return list.map((value) => {
    const result = trajectoryToRecording(value, { loop, model: 'gpt-4o' });
    if (result.kind === 'bad') throw new Error(result.error);
    return result.recording;
  });
}

/** The same as they stand in the file. */
export const rawTrajectories = (): {
  traj: ({ role: string; name?: string } & Record<string, unknown>)[];
}[] => JSON.parse(readFileSync(file, 'utf8')) as ReturnType<typeof rawTrajectories>;
