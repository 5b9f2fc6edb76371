/** Is it flaky, and does a patch mend it? */
import { randomBytes } from "node:crypto";
import { z } from "zod";
import { defined } from "../../api/defined.ts";
import { argument, envName, execExit, rerunRun, rerun as rerunShape } from "../../api/schema.ts";
import { type Capture, type Sandbox, ThawError } from "../../client/index.ts";
import { type Call, MAKES, tellProgress, tool } from "../call.ts";
import { needCommand } from "../case.ts";
import { type Command, exitOf, type Ran, runCommand } from "../commands.ts";
import { CAPTURE_HOURS, JOBS, MAX_WRITE_BYTES, RERUNS } from "../limits.ts";
import {
  captureOf,
  captureReference,
  describeSandbox,
  findSandbox,
  forkCount,
  forkSandbox,
  openCapture,
  removeAll,
  replayLevel,
  sandboxAnswer,
  sandboxReference,
  ttlMinutes,
} from "../sandboxes.ts";
import { cleanLine, page, showPage } from "../untrusted.ts";
import { exactlyOne } from "./either.ts";
import { argvArgument, guestPath, timeoutSeconds } from "./inside.ts";

const APPLY_MS = 60_000;
const NO_TOOL = 97;
const NO_FOLDER = 98;
/** Of how many failed runs the output is told; the others are counted. */
const MAX_TOLD = 3;

/**
 * Applies the patch $1 with -p$2 in the folder $3, or in the repository that the command's folder lies in. What the patch says never becomes
 * part of a command. `patch` may leave half of one behind: its machine is thrown away then.
 */
const APPLY = `
file=$1 strip=$2 folder=$3
trap 'rm -f "$file"' EXIT
if [ -z "$folder" ]; then
  folder=$PWD top=$PWD
  while [ "$top" != / ]; do
    [ -e "$top/.git" ] && folder=$top && break
    top=$(dirname "$top")
  done
fi
cd "$folder" || exit ${NO_FOLDER}
if command -v git >/dev/null 2>&1; then
  GIT_CEILING_DIRECTORIES=$(dirname "$PWD") git -c safe.directory='*' apply "-p$strip" --whitespace=nowarn "$file" && echo "git apply in $PWD"
elif command -v patch >/dev/null 2>&1; then
  patch "-p$strip" --batch --forward --no-backup-if-mismatch --reject-file=- --input="$file" && echo "patch in $PWD"
else
  exit ${NO_TOOL}
fi
`;

const run = z.object({
  number: z.int(),
  passed: z.boolean(),
  exit: execExit.nullable(),
  sandbox: sandboxAnswer.nullable().describe("Where it ran, if that was kept"),
});

const verdict = z.enum(["passes", "flaky", "broken"]);
type Verdict = z.output<typeof verdict>;

export const tryFix = tool({
  name: "try_fix",
  title: "Try a fix",
  description:
    "Applies a patch to the machine of a failure, makes count copies of it, runs the failed command in each, and tells how many passed. Nothing of the failure changes, and the copies are removed (unless keep). The machine is the one in which the command failed: files and processes that it left are there; level disk boots it without those processes. Instead of a capture, a sandbox in which you changed files can be tried.",
  input: z.object({
    capture: captureReference.optional(),
    sandbox: sandboxReference
      .optional()
      .describe("A sandbox of yours, to be tried as it is now; it goes on unchanged"),
    patch: z
      .string()
      .min(1)
      .max(MAX_WRITE_BYTES)
      .optional()
      .describe("A unified diff, as of git diff. A capture needs one, a sandbox may have one"),
    strip: z.int().min(0).max(9).default(1).describe("-pN: leading parts of its paths to leave out"),
    folder: guestPath
      .optional()
      .describe("Where its paths begin. Default: the repository that the command ran in, or else its folder"),
    count: forkCount.default(3),
    jobs: z.int().min(1).max(JOBS.most).default(JOBS.default).describe("How many run at a time"),
    argv: argvArgument.optional().describe("Another command instead of the failed one"),
    level: replayLevel,
    timeoutSeconds,
    keep: z.boolean().default(false).describe("Leave the copies, to look at them, until ttlMinutes are over"),
    ttlMinutes,
  }),
  output: z.object({
    capture: z.string().nullable(),
    passed: z.int(),
    count: z.int(),
    verdict,
    runs: z.array(run),
    untrusted: z.object({
      argv: z.array(z.string()),
      applied: page.nullable().describe("What was said when the patch was applied"),
      failures: z.array(z.object({ number: z.int(), stdout: page, stderr: page })),
    }),
  }),
  annotations: MAKES,
  run: async (asked, call) => {
    const { capture, sandbox, patch, count, keep } = asked;
    exactlyOne({ capture, sandbox });
    if (capture !== undefined && patch === undefined)
      throw new ThawError("usage", "a capture is tried with a patch", {
        hint: "give patch; rerun runs the command without one",
      });
    const made: Sandbox[] = [];
    let done = false;
    try {
      const { machines, command, applied, id } = await prepare(asked, call, made);
      const ran = await runAll(machines, command, asked, call);
      done = true;
      const runs = ran.map(({ info }, index) => ({
        number: index + 1,
        passed: info.exit?.code === 0 && !info.exit.timedOut,
        exit: exitOf(info.exit),
        sandbox: keep && machines[index] !== undefined ? describeSandbox(machines[index].info) : null,
      }));
      const passed = runs.filter((one) => one.passed).length;
      const verdict: Verdict = passed === count ? "passes" : passed === 0 ? "broken" : "flaky";
      const failures = ran
        .map(({ stdout, stderr }, index) => ({ number: index + 1, stdout, stderr }))
        .filter((_, index) => runs[index]?.passed === false)
        .slice(0, MAX_TOLD);
      const text = [
        `${passed} of ${count} passed: ${verdict}`,
        ...(applied === null ? [] : [showPage("the patch was applied", applied)]),
        ...failures.flatMap(({ number, stdout, stderr }) => [
          showPage(`run ${number}, stdout`, stdout),
          showPage(`run ${number}, stderr`, stderr),
        ]),
        ...runs.flatMap((one) =>
          one.sandbox === null ? [] : [`run ${one.number}: kept as ${one.sandbox.name}`],
        ),
      ].join("\n");
      const argv = command.argv.slice(0, 50).map((word) => cleanLine(word, 2000));
      return {
        text,
        structured: { capture: id, passed, count, verdict, runs, untrusted: { argv, applied, failures } },
      };
    } finally {
      if (!(done && keep)) await removeAll(made);
    }
  },
});

type TryArguments = {
  capture?: string | undefined;
  sandbox?: string | undefined;
  patch?: string | undefined;
  strip: number;
  folder?: string | undefined;
  count: number;
  jobs: number;
  argv?: string[] | undefined;
  level?: "memory" | "disk" | undefined;
  timeoutSeconds: number;
  ttlMinutes: number;
};

/** Makes the machines, all in the same patched state. @param made takes what was made, at once, for who removes it */
async function prepare(
  asked: TryArguments,
  call: Call,
  made: Sandbox[],
): Promise<{ machines: Sandbox[]; command: Command; applied: Ran["stdout"] | null; id: string | null }> {
  const { capture, sandbox, patch, count, ttlMinutes } = asked;
  const theirs = sandbox === undefined ? undefined : await findSandbox(call, sandbox);
  const reference = capture ?? (theirs && captureOf(theirs.info));
  const found =
    reference === undefined ? undefined : await call.thaw.captures.get(reference, { signal: call.signal });
  const command = commandOf(found, asked);
  const id = found?.id ?? null;
  if (theirs !== undefined && patch === undefined) {
    made.push(...(await forkSandbox(call, theirs, { count, ttlMinutes })));
    return { machines: made, command, applied: null, id };
  }
  const [first] =
    theirs === undefined
      ? [await openCapture(call, id ?? "", { level: asked.level, ttlMinutes })]
      : await forkSandbox(call, theirs, { count: 1, ttlMinutes });
  if (first === undefined) throw new ThawError("internal", "a fork made nothing");
  made.push(first);
  const applied = await applyPatch(first, asked, call);
  made.push(...(await forkSandbox(call, first, { count: count - 1, ttlMinutes })));
  return { machines: made, command, applied, id };
}

/** The failed command as a rerun runs it: folder, user and environment are the sandbox's own. */
function commandOf(capture: Capture | undefined, { argv, timeoutSeconds }: TryArguments): Command {
  const timeoutMs = timeoutSeconds * 1000;
  if (argv !== undefined) return { argv, timeoutMs };
  if (capture === undefined)
    throw new ThawError("usage", "the sandbox does not come from a failure, so there is no command to run", {
      hint: "give argv",
    });
  const exec = needCommand(capture);
  return { argv: exec.argv, timeoutMs, ...(exec.tty ? { tty: { rows: 24, cols: 80 } } : {}) };
}

/** @throws ThawError `usage` for a patch that does not apply */
async function applyPatch(
  sandbox: Sandbox,
  { patch = "", strip, folder = "" }: TryArguments,
  call: Call,
): Promise<Ran["stdout"]> {
  const { signal, tell } = call;
  tell(`${sandbox.name}: applying the patch`);
  const file = `/tmp/.thaw-patch-${randomBytes(8).toString("hex")}`;
  const whole = patch.endsWith("\n") ? patch : `${patch}\n`;
  await sandbox.files.write(file, whole, { signal });
  const argv = ["sh", "-c", APPLY, "sh", file, String(strip), folder];
  const ran = await runCommand(sandbox, { argv, timeoutMs: APPLY_MS }, { signal, waitMs: 2 * APPLY_MS });
  const { exit } = ran.info;
  if (exit?.code === 0) return ran.stdout;
  if (exit?.code === NO_TOOL)
    throw new ThawError(
      "unsupported",
      "the machine has neither git nor patch, so a patch can't be applied in it",
      {
        hint: "open_failure, change the files with write_file, then try_fix with that sandbox instead of a capture",
      },
    );
  if (exit?.code === NO_FOLDER)
    throw new ThawError("usage", `there is no folder ${cleanLine(folder)} in the machine`, {
      hint: "leave folder out, or look for the files: open_failure and exec",
    });
  const told = [...ran.stderr.text.split("\n"), ...ran.stdout.text.split("\n")].filter((line) => line !== "");
  throw new ThawError("usage", "the patch does not apply; what the machine said of it (untrusted):", {
    details: told.map((line) => cleanLine(line)),
    hint: "read the files as they are with read_file, or set strip or folder",
  });
}

async function runAll(
  machines: readonly Sandbox[],
  command: Command,
  { jobs, timeoutSeconds }: TryArguments,
  call: Call,
): Promise<Ran[]> {
  const abort = new AbortController();
  const signal = AbortSignal.any([call.signal, abort.signal]);
  const waitMs = (timeoutSeconds + 60) * 1000;
  const results: Ran[] = [];
  const waiting = [...machines.entries()];
  let ended = 0;
  const work = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [index, machine] = next;
      signal.throwIfAborted();
      results[index] = await runCommand(machine, command, { signal, waitMs });
      ended += 1;
      call.tell(`${ended} of ${machines.length} runs have ended`);
    }
  };
  const workers = Array.from({ length: Math.min(jobs, machines.length) }, work);
  try {
    await Promise.all(workers);
  } catch (error) {
    abort.abort(error);
    await Promise.allSettled(workers);
    throw error;
  }
  return results;
}

const HOUR_MS = 3_600_000;

export const rerun = tool({
  name: "rerun",
  title: "Rerun a failed command",
  description:
    "Runs the failed command several times from the state just before it, without any change, to tell flaky from broken. Of new failures the first of each kind is kept as a capture, for keepHours.",
  input: z.object({
    capture: captureReference,
    count: z.int().min(1).max(RERUNS.most).default(RERUNS.default),
    jobs: z.int().min(1).max(JOBS.most).default(JOBS.default).describe("How many run at a time"),
    argv: argvArgument.optional().describe("Another command instead of the failed one"),
    env: z.record(envName, argument).optional().describe("Over the recorded environment"),
    keepHours: z.int().min(1).max(CAPTURE_HOURS.most).default(CAPTURE_HOURS.default),
  }),
  output: z.object({
    capture: z.string(),
    before: rerunShape.shape.before,
    failed: z.int(),
    count: z.int(),
    verdict: rerunShape.shape.verdict,
    interval: z.array(z.number()).length(2).describe("Of the share that fails, at 95 %"),
    runs: z.array(
      rerunRun.omit({ error: true }).extend({ untrusted: z.object({ error: z.string().nullable() }) }),
    ),
    newCaptures: z.array(z.string()),
  }),
  annotations: MAKES,
  run: async ({ capture, keepHours, ...request }, call) => {
    const { thaw, signal } = call;
    const { id } = await thaw.captures.get(capture, { signal });
    const bounded: Promise<unknown>[] = [];
    const newCaptures: string[] = [];
    let done = 0;
    const limit = (kept: string): void => {
      newCaptures.push(kept);
      // It is bounded also when the call is cancelled in the meantime.
      bounded.push(thaw.captures.setMaxAge(kept, keepHours * HOUR_MS).catch(() => {}));
    };
    const result = await thaw.captures
      .rerun(id, defined(request), {
        signal,
        onProgress: tellProgress(call),
        onRun: (one) => {
          done += 1;
          call.tell(`${done} of ${request.count} runs have ended`);
          if (one.capture !== null && one.capture !== id) limit(one.capture);
        },
      })
      .finally(() => Promise.all(bounded));
    const { before, failed, verdict, interval, runs } = result;
    const lines = [
      `${failed} of ${runs.length} failed: ${verdict}, from ${before}`,
      ...newCaptures.map((one) => `a new failure was kept as ${one}, for ${keepHours} h`),
    ];
    return {
      text: lines.join("\n"),
      structured: {
        ...{ capture: id, before, failed, count: runs.length, verdict, interval, newCaptures },
        runs: runs.map(({ error, ...one }) => ({
          ...one,
          exit: exitOf(one.exit),
          untrusted: { error: error === null ? null : cleanLine(error) },
        })),
      },
    };
  },
});
