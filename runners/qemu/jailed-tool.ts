/**
 * Host tools that open what somebody else wrote: in the jail of machines, where this host has one, as a user without rights, within limits, with
 * nothing but the files they need.
 */

import { spawn } from "node:child_process";
import { chmod, lchown, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { defined } from "../../api/defined.ts";
import { unprotect } from "../../host/oom-score.ts";
import { type JailOptions, jailArgv, type Limits } from "../host/jail.ts";
import { runTool } from "../host/tool.ts";
import { RunnerError } from "../runner.ts";
import type { Context } from "./context.ts";

export interface JailedTool {
  /** Absolute, under /usr. */
  command: string;
  args(show: (path: string) => string): string[];
  /** Host files it may read, and write. */
  reads: readonly string[];
  writes?: readonly string[];
  /** The longest file that it may write. Default 64 MiB. */
  fileBytes?: number;
  debianPackage: string;
  /** See `ToolOptions`. */
  complaint?: (stderr: string) => string | null;
}

const FILES_DIR = "/files";
/** Cgroup of all tools, and the folder on which each mounts its own root. */
const TOOLS_ID = "tools";
const GIB = 1024 ** 3;
export const TOOL_LIMITS: Limits = {
  memoryBytes: 2 * GIB,
  processes: 256,
  cpus: 1,
  fileBytes: 64 * 1024 * 1024,
};
const STDERR_CHARS = 1000;

/** stdout of the tool. Its failure is taken for the files' fault: `corrupt-snapshot`. */
export async function runJailed(
  context: Context,
  tool: JailedTool,
  options: { timeoutMs: number; signal?: AbortSignal | undefined },
): Promise<string> {
  const [command, ...args] = await describe(context, tool);
  try {
    return await runTool(command, args, {
      ...options,
      complaint: tool.complaint,
      code: "corrupt-snapshot",
      debianPackage: tool.debianPackage,
    });
  } finally {
    await takeBack(tool.writes ?? []);
  }
}

/** stdout of the tool as it comes. Ends with an error when the tool fails. */
export async function* streamJailed(
  context: Context,
  tool: JailedTool,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const [command, ...args] = await describe(context, tool);
  const child = spawn(command, args, {
    stdio: ["ignore", "pipe", "pipe"],
    env: { LC_ALL: "C.UTF-8" },
    signal,
  });
  unprotect(child);
  const ended = new Promise<string | null>((resolve) => {
    let said = "";
    child.stderr.on("data", (chunk: Buffer) => {
      said = (said + chunk.toString("utf8")).slice(-STDERR_CHARS);
    });
    child.once("error", (error) => resolve(error.message));
    child.once("close", (code) => {
      if (code === 0) resolve(tool.complaint?.(said) ?? null);
      else resolve(said.trim() || `exit code ${code}`);
    });
  });
  try {
    yield* child.stdout as Readable as AsyncIterable<Buffer>;
    const failure = await ended;
    if (failure !== null) throw new RunnerError("corrupt-snapshot", `${tool.command} failed: ${failure}`);
  } finally {
    child.kill("SIGKILL");
  }
}

async function describe(context: Context, tool: JailedTool): Promise<[string, ...string[]]> {
  const { jailed } = await context.jail("tool");
  if (!jailed) return [tool.command, ...tool.args((path) => path)];
  const writes = tool.writes ?? [];
  const places = [...tool.reads, ...writes];
  const show = (path: string): string => `${FILES_DIR}/${places.indexOf(path)}`;
  for (const path of tool.reads) await makeReadable(path);
  return jailedCommand(context, {
    bindings: places.map((path) => ({ source: path, target: show(path), writable: writes.includes(path) })),
    own: writes,
    limits: { ...TOOL_LIMITS, ...defined({ fileBytes: tool.fileBytes }) },
    command: [tool.command, ...tool.args(show)],
  });
}

/** A command line that runs `command` in the jail. */
export function jailedCommand(
  { jailPath, tools }: Pick<Context, "jailPath" | "tools">,
  options: Pick<JailOptions, "bindings" | "own" | "limits" | "command">,
): [string, ...string[]] {
  const { cgroup, runtimeRoot } = tools;
  const dir = join(runtimeRoot, TOOLS_ID);
  return [jailPath, ...jailArgv({ ...options, id: TOOLS_ID, dir, cgroup, jailed: true, kvm: false })];
}

/** The jail's user opens it by name. Its folder is private. */
async function makeReadable(path: string): Promise<void> {
  if (process.getuid?.() !== 0) return;
  const { mode } = await stat(path);
  if ((mode & 0o004) === 0) await chmod(path, (mode & 0o777) | 0o004);
}

async function takeBack(files: readonly string[]): Promise<void> {
  if (process.getuid?.() !== 0) return;
  for (const file of files) await lchown(file, 0, 0).catch(() => {});
}
