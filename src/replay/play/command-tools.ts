import { spawn } from 'node:child_process';
import type { ToolPort } from './ports.ts';
import type { ToolDefinition, ToolGuard } from './tools.ts';

/**
 * Tools as commands of the registry: what the model asks goes to stdin as it is, what comes on stdout is the result. No shell
 * is involved, and nothing a model says is an argument of the command. The guard is asked first, at every single use.
 */
export interface CommandToolsOptions {
  tools: readonly ToolDefinition[];
  guard: ToolGuard;
  /** Where the commands run: the folder of the settings. */
  directory: string;
  signal?: AbortSignal | undefined;
}

const TOOL_MS_MAX = 60_000;
const RESULT_BYTES_MAX = 8 * 1024 * 1024;
const COMPLAINT_CHARS_MAX = 500;

export function commandTools({ tools, guard, directory, signal }: CommandToolsOptions): ToolPort {
  return async (use) => {
    if (!guard.allows(use.tool)) return { outcome: 'withheld', message: guard.refusal([use.tool]) };
    const command = tools.find(({ name }) => name === use.tool)?.command;
    if (!command)
      return { outcome: 'failed', message: `The registry gives no command for ${JSON.stringify(use.tool)}.` };
    return await carryOut(command, use.arguments === '' ? '{}' : use.arguments, directory, signal);
  };
}

function carryOut(
  [program, ...args]: readonly string[],
  input: string,
  cwd: string,
  signal: AbortSignal | undefined,
): Promise<Awaited<ReturnType<ToolPort>>> {
  return new Promise((resolve) => {
    // A group of its own, so that what it starts ends with it.
    const child = spawn(program!, args, { cwd, detached: true, stdio: ['pipe', 'pipe', 'pipe'] });
    const out: Buffer[] = [];
    let bytes = 0;
    let complaint = '';
    let why: string | undefined;
    const end = (reason: string) => {
      why ??= reason;
      if (child.pid !== undefined) endGroup(child.pid);
    };
    const late = setTimeout(() => end(`it had not ended after ${TOOL_MS_MAX} ms`), TOOL_MS_MAX);
    const abort = () => end('the replay was ended');
    signal?.addEventListener('abort', abort, { once: true });
    child.stdout.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > RESULT_BYTES_MAX) end(`its result is over ${RESULT_BYTES_MAX} bytes`);
      else out.push(chunk);
    });
    child.stderr.on('data', (chunk: Buffer) => {
      if (complaint.length < COMPLAINT_CHARS_MAX) complaint += chunk.toString();
    });
    child.stdin.on('error', () => {}); // it need not read what it does not want
    child.stdin.end(input);
    const settle = (reason: string | undefined) => {
      clearTimeout(late);
      signal?.removeEventListener('abort', abort);
      const message = `${program} failed: ${why ?? reason}. ${complaint.slice(0, COMPLAINT_CHARS_MAX)}`;
      if (why ?? reason) resolve({ outcome: 'failed', message: message.trim() });
      else resolve({ outcome: 'done', result: Buffer.concat(out).toString('utf8') });
    };
    child.on('error', (error) => settle(error.message));
    child.on('close', (code, by) => {
      if (child.pid !== undefined) endGroup(child.pid);
      settle(code === 0 ? undefined : code === null ? `ended by ${by}` : `exit code ${code}`);
    });
  });
}

/** Ends a process with all that it started. */
export function endGroup(pid: number, signal: NodeJS.Signals = 'SIGKILL'): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // It is gone.
  }
}
