/** Host tools that open what somebody else wrote: in a jail, where this host has one, with nothing but the files they need. */
import { spawn } from "node:child_process";
import type { Readable } from "node:stream";
import { RunnerError } from "../runner.ts";
import type { Context } from "./context.ts";
import { runTool } from "./tool.ts";

export interface JailedTool {
  /** Absolute, under /usr. */
  command: string;
  args(show: (path: string) => string): string[];
  /** Host files it may read, and write. */
  reads: readonly string[];
  writes?: readonly string[];
  debianPackage: string;
}

const FILES_DIR = "/files";
const STDERR_CHARS = 1000;

/** stdout of the tool. Its failure is taken for the files' fault: `corrupt-snapshot`. */
export async function runJailed(
  context: Context,
  tool: JailedTool,
  options: { timeoutMs: number; signal?: AbortSignal | undefined },
): Promise<string> {
  const { command, args, needs } = await describe(context, tool);
  return runTool(command, args, { ...options, code: "corrupt-snapshot", debianPackage: needs });
}

/** stdout of the tool as it comes. Ends with an error when the tool fails. */
export async function* streamJailed(
  context: Context,
  tool: JailedTool,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const { command, args } = await describe(context, tool);
  const child = spawn(command, args, {
    stdio: ["ignore", "pipe", "pipe"],
    env: { LC_ALL: "C.UTF-8" },
    signal,
  });
  const ended = new Promise<string | null>((resolve) => {
    let said = "";
    child.stderr.on("data", (chunk: Buffer) => {
      said = (said + chunk.toString("utf8")).slice(-STDERR_CHARS);
    });
    child.once("error", (error) => resolve(error.message));
    child.once("close", (code) => resolve(code === 0 ? null : said.trim() || `exit code ${code}`));
  });
  try {
    yield* child.stdout as Readable as AsyncIterable<Buffer>;
    const failure = await ended;
    if (failure !== null) throw new RunnerError("corrupt-snapshot", `${tool.command} failed: ${failure}`);
  } finally {
    child.kill("SIGKILL");
  }
}

async function describe(
  context: Context,
  tool: JailedTool,
): Promise<{ command: string; args: string[]; needs: string }> {
  const { jailed } = await context.jail();
  if (!jailed) return { command: tool.command, args: tool.args((path) => path), needs: tool.debianPackage };
  const places = [...tool.reads, ...(tool.writes ?? [])];
  const show = (path: string): string => `${FILES_DIR}/${places.indexOf(path)}`;
  const args = [
    ...["--unshare-all", "--cap-drop", "ALL", "--clearenv", "--die-with-parent", "--new-session"],
    ...["--ro-bind", "/usr", "/usr", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64"],
    ...["--proc", "/proc", "--dev", "/dev"],
    ...tool.reads.flatMap((path) => ["--ro-bind", path, show(path)]),
    ...(tool.writes ?? []).flatMap((path) => ["--bind", path, show(path)]),
    ...["--", tool.command, ...tool.args(show)],
  ];
  return { command: "bwrap", args, needs: "bubblewrap" };
}
