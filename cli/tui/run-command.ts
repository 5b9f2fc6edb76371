/** Runs thaw itself: in the background, or with the terminal handed over. */
import { type ChildProcess, spawn } from "node:child_process";
import { cleanText } from "../format/clean-text.ts";

/** Lines that are kept of what a command says. */
const KEPT = 200;
const LONGEST_LINE = 2000;

function ownCommand(context: string, args: readonly string[]): string[] {
  return ["--", process.argv[1] ?? "", "--context", context, ...args];
}

/** Runs a `thaw` command without a terminal and without input. @returns its exit code and the last lines that it wrote */
export async function runInBackground(
  context: string,
  args: readonly string[],
  signal: AbortSignal,
): Promise<{ code: number; output: string[] }> {
  const child = spawn(process.execPath, ownCommand(context, args), {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, NO_COLOR: "1" },
    signal,
  });
  let text = "";
  const take = (chunk: string): void => {
    text = (text + chunk).slice(-KEPT * LONGEST_LINE);
  };
  child.stdout.setEncoding("utf8").on("data", take);
  child.stderr.setEncoding("utf8").on("data", take);
  const code = await ended(child);
  return {
    code,
    output: text
      .split("\n")
      .map((line) => cleanText(line).slice(0, LONGEST_LINE))
      .filter(Boolean)
      .slice(-KEPT),
  };
}

/**
 * Runs it with the terminal.
 * @param options isPaged: what it says goes through $PAGER. signal: ends the command, so that it and the shell do not share the terminal
 * @returns its exit code
 */
export async function runInTerminal(
  context: string,
  args: readonly string[],
  { isPaged = false, signal }: { isPaged?: boolean | undefined; signal: AbortSignal },
): Promise<number> {
  const command = ownCommand(context, args);
  const child = isPaged ? startPaged(command) : spawn(process.execPath, command, { stdio: "inherit" });
  const end = (): void => {
    child.kill("SIGTERM");
  };
  signal.addEventListener("abort", end, { once: true });
  try {
    return await ended(child);
  } finally {
    signal.removeEventListener("abort", end);
  }
}

/** A pager that shows what a command says. Less makes a guest's control characters visible unless it is told not to. */
function startPaged(command: readonly string[]): ChildProcess {
  const pager = spawn("sh", ["-c", `exec \${PAGER:-less}`], { stdio: ["pipe", "inherit", "inherit"] });
  const { stdin } = pager;
  stdin.on("error", () => {});
  const source = spawn(process.execPath, command, { stdio: ["ignore", stdin, stdin] });
  source.on("error", () => {});
  // without the pager nobody reads it; one that waits for more to write would not notice
  pager.once("close", () => source.kill());
  stdin.destroy();
  return pager;
}

function ended(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve(code ?? 1));
  });
}
