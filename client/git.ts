import { execFile } from "node:child_process";

/** What a git command answered, or why it did not. */
export type GitAnswer = { output: Buffer } | { failed: string };

const maxOutputBytes = 256 << 20;
const deadlineMs = 120_000;

/** git's own variables would point it elsewhere than at the folder it is run in. */
function cleanEnvironment(): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = {
    ...process.env,
    LC_ALL: "C",
    GIT_OPTIONAL_LOCKS: "0",
    GIT_TERMINAL_PROMPT: "0",
  };
  for (const name of ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX"])
    delete env[name];
  return env;
}

/** Runs git in `folder`. Never throws: no git, no repository and a refusal are answers. */
export function runGit(folder: string, args: readonly string[], signal?: AbortSignal): Promise<GitAnswer> {
  const { promise, resolve } = Promise.withResolvers<GitAnswer>();
  const options = {
    cwd: folder,
    env: cleanEnvironment(),
    encoding: "buffer" as const,
    maxBuffer: maxOutputBytes,
    timeout: deadlineMs,
    ...(signal === undefined ? {} : { signal }),
  };
  execFile("git", args, options, (error, stdout, stderr) => {
    if (error === null) resolve({ output: stdout });
    else resolve({ failed: stderr.toString("utf8").trim().split("\n")[0] || error.message });
  });
  return promise;
}
