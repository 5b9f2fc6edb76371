/** Where a token for GitHub comes from: the environment, gh, git's credential helper. */
import { spawn } from "node:child_process";
import type { GitHubServer } from "./server.ts";

type Environment = Record<string, string | undefined>;

export interface FoundToken {
  token: string;
  /** `GITHUB_TOKEN`, `gh`, `git credential`: shown to people. */
  from: string;
}

const deadlineMs = 5_000;
const maxOutputBytes = 16_384;
const tokenPattern = /^[\x21-\x7e]{1,1000}$/;
const tokenVariables = ["GH_TOKEN", "GITHUB_TOKEN", "GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN"];

/**
 * The environment of gh and git. Nothing of the folder we stand in is read: its `.git/config` may name programs. No token of ours goes in, so
 * that gh answers with what it keeps for that host; nothing asks the person.
 */
function quietEnvironment(env: Environment): Record<string, string> {
  const kept = Object.entries(env).filter(
    (entry): entry is [string, string] =>
      entry[1] !== undefined &&
      !tokenVariables.includes(entry[0]) &&
      (!entry[0].startsWith("GIT_") || /^GIT_CONFIG_(GLOBAL|SYSTEM|NOSYSTEM)$/.test(entry[0])),
  );
  const quiet = {
    GIT_TERMINAL_PROMPT: "0",
    GIT_ASKPASS: "",
    SSH_ASKPASS: "",
    GCM_INTERACTIVE: "never",
    GH_PROMPT_DISABLED: "1",
  };
  return { ...Object.fromEntries(kept), ...quiet, GIT_DIR: "/dev/null" };
}

/** Runs a program in `/`, for at most 5 s. @returns its stdout when it exits with 0, else undefined */
function ask(
  program: string,
  argv: readonly string[],
  input: string,
  env: Environment,
): Promise<string | undefined> {
  return new Promise((resolve) => {
    const child = spawn(program, argv, {
      cwd: "/",
      env: quietEnvironment(env),
      stdio: ["pipe", "pipe", "ignore"],
      detached: true,
    });
    let output = "";
    // A helper may leave children that hold its stdout: they end with it.
    const stop = (): void => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
      } catch {
        // all of them have ended
      }
    };
    const timer = setTimeout(() => {
      stop();
      finish(undefined);
    }, deadlineMs);
    const finish = (answer: string | undefined): void => {
      clearTimeout(timer);
      child.stdout.destroy();
      resolve(answer);
    };
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      output += text;
      if (output.length > maxOutputBytes) stop();
    });
    child.stdin.on("error", () => {});
    child.on("error", () => finish(undefined));
    child.on("close", (code) => finish(code === 0 ? output : undefined));
    child.stdin.end(input);
  });
}

/** The token, and where it came from; undefined when there is none: public repositories can be read without. */
export async function findToken(server: GitHubServer, env: Environment): Promise<FoundToken | undefined> {
  for (const from of server.tokenVariables) {
    const token = env[from]?.trim() ?? "";
    if (tokenPattern.test(token)) return { token, from };
  }
  const gh = (await ask("gh", ["auth", "token", "--hostname", server.host], "", env))?.trim() ?? "";
  if (tokenPattern.test(gh)) return { token: gh, from: "gh" };
  const filled = await ask("git", ["credential", "fill"], `protocol=https\nhost=${server.host}\n\n`, env);
  const password = /^password=(.*)$/m.exec(filled ?? "")?.[1] ?? "";
  return tokenPattern.test(password) ? { token: password, from: "git credential" } : undefined;
}
