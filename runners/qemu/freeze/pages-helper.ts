/** Runs `thaw-pages`, which copies the memory that a machine has written. Its steps are described in the helper's source. */
import { spawn } from "node:child_process";
import { unprotect } from "../../../host/oom-score.ts";
import { paced } from "../../../host/pace.ts";
import { RunnerError } from "../../runner.ts";

const TIMEOUT_MS = 120_000;
const STEPS = ["ready", "copied", "done"];
/** How Rust prints ENOSPC and EDQUOT. */
const NO_SPACE = /os error (28|122)\b/;

export interface PagesHelper {
  /** Rest of the line with which the helper tells that it has come to this step. Rejects when it ends before. */
  says(step: "ready" | "copied" | "done"): Promise<string>;
  /** Has it copy: the machine must stand still until it `says("copied")`. */
  go(): void;
  /** Kills it if it still runs. */
  [Symbol.dispose](): void;
}

export interface PagesArguments {
  /** Socket of the machine's keeper, which says which process maps the memory. */
  keeper: string;
  memoryBytes: number;
  /** File to make. */
  out: string;
  /** Pages over the snapshot's memory that the machine was thawed with. */
  inherited: string | null;
}

export function startPagesHelper(path: string, of: PagesArguments, signal?: AbortSignal): PagesHelper {
  const inherited = of.inherited === null ? [] : [of.inherited];
  const args = [of.keeper, String(of.memoryBytes), of.out, ...inherited];
  const child = spawn(path, args, { stdio: ["pipe", "pipe", "pipe"], env: {}, cwd: "/" });
  unprotect(child);
  const steps = new Map(STEPS.map((step) => [step, Promise.withResolvers<string>()]));
  for (const { promise } of steps.values()) promise.catch(() => {});
  const fail = (error: unknown): void => {
    for (const { reject } of steps.values()) reject(error);
  };
  const kill = (error: unknown): void => {
    fail(error);
    child.kill("SIGKILL");
  };
  const waitMs = paced(TIMEOUT_MS);
  const timer = setTimeout(
    () => kill(new RunnerError("timeout", `copying memory did not end within ${waitMs / 1000} s`)),
    waitMs,
  );
  const onAbort = (): void => kill(signal?.reason);
  signal?.addEventListener("abort", onAbort, { once: true });
  if (signal?.aborted) onAbort();

  let out = "";
  let err = "";
  child.once("error", (error: NodeJS.ErrnoException) => {
    const missing = error.code === "ENOENT";
    const hint = missing ? { hint: "npm run build" } : {};
    fail(new RunnerError(missing ? "missing-tool" : "start-failed", `${path}: ${error.message}`, hint));
  });
  child.once("close", (code, killed) => fail(endError(err.trim(), killed ?? code)));
  child.stdin.on("error", () => {});
  child.stderr.on("data", (chunk: Buffer) => {
    err = (err + chunk.toString("utf8")).slice(-1_000);
  });
  child.stdout.on("data", (chunk: Buffer) => {
    out += chunk.toString("latin1");
    for (let end = out.indexOf("\n"); end >= 0; end = out.indexOf("\n")) {
      const [step = "", rest = ""] = out.slice(0, end).split(" ");
      out = out.slice(end + 1);
      steps.get(step)?.resolve(rest);
    }
  });
  return {
    says: (step) => steps.get(step)?.promise ?? Promise.reject(new TypeError(step)),
    go: () => void child.stdin.write("go\n"),
    [Symbol.dispose]: () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
      child.kill("SIGKILL");
    },
  };
}

function endError(said: string, how: string | number | null): RunnerError {
  if (NO_SPACE.test(said)) {
    const hint = "free disk space, or set THAW_HOME to a folder on another disk";
    return new RunnerError("no-space", `the disk has no room for a copy of the machine's memory: ${said}`, {
      hint,
    });
  }
  return new RunnerError("start-failed", `copying memory failed: ${said || `the helper ended (${how})`}`);
}
