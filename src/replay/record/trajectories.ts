import { z } from 'zod';
import { LIMITS } from '../../span/limits.ts';
import type { Recording } from '../recording.ts';
import { chatToRecording } from './chat-import.ts';

/**
 * Conversations as agent benchmarks publish them (tau-bench, for one): a list of trajectories, each the messages of one
 * attempt at a task and whether it was solved. A run of its own each, named by task and trial.
 */
const ToolCall = z.object({
  id: z.string().nullish(),
  function: z.object({ name: z.string(), arguments: z.string() }),
});
const ChatMessage = z.object({
  role: z.string(),
  content: z.unknown(),
  tool_calls: z.array(ToolCall).nullish(),
  tool_call_id: z.string().nullish(),
});
const Trajectory = z.object({
  task_id: z.union([z.number().int(), z.string().min(1)]),
  trial: z.union([z.number().int(), z.string().min(1)]).default(0),
  reward: z.number().min(0).max(1).optional(),
  traj: z.array(ChatMessage).min(1),
});

export type TrajectoryResult = { kind: 'read'; recording: Recording } | { kind: 'bad'; error: string };

/** One trajectory as a run of `loop`. */
export function trajectoryToRecording(
  value: unknown,
  { loop, model }: { loop: string; model?: string },
): TrajectoryResult {
  const parsed = Trajectory.safeParse(value);
  if (!parsed.success) {
    const { path, message } = parsed.error.issues[0]!;
    return { kind: 'bad', error: `${path.join('.') || 'it'}: ${message}` };
  }
  const { task_id, trial, reward, traj } = parsed.data;
  const run = `${task_id}-${trial}`;
  if (run.length > LIMITS.nameLengthMax)
    return {
      kind: 'bad',
      error: `task_id and trial together are longer than ${LIMITS.nameLengthMax} characters`,
    };
  const recording = chatToRecording(traj, {
    loop,
    run,
    ...(model !== undefined && { model }),
    goldenScore: reward ?? null,
    itemId: String(task_id),
  });
  return { kind: 'read', recording };
}
