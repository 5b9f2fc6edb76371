/** What a step takes out of its sandbox: outputs, artifacts, a patch. All of it is the guest's, so it is bounded and goes nowhere else. */
import { createWriteStream } from "node:fs";
import { mkdir, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import {
  type GuestFiles,
  type SandboxReference,
  showPath,
  ThawError,
  workspacePath,
} from "../client/index.ts";
import { findMatches, type Match } from "./find-matches.ts";
import { type GuestOutputs, MAX_FILE_BYTES, parseGuestOutputs } from "./guest-outputs.ts";
import { refuseArtifact, resolveInside } from "./inside.ts";
import type { StepPlan } from "./plan.ts";
import { describeError } from "./reader.ts";

const MAX_PATCH_BYTES = 256 << 20;
const MAX_ARTIFACT_BYTES = 16 * 2 ** 30;
const MAX_ARTIFACT_ENTRIES = 200_000;

/** What came back, and what did not. */
export interface BroughtBack {
  outputs: ReadonlyMap<string, string>;
  /** Files and folders, beneath the checkout. */
  artifacts: readonly string[];
  /** Bytes; undefined: none was asked for, or there is none. */
  patchBytes: number | undefined;
  /** What a person should know. */
  notes: readonly string[];
}

function isMissing(error: unknown): boolean {
  return error instanceof ThawError && error.code === "not-found";
}

/** Refuses to be told more than `most` bytes. */
async function* bounded(
  chunks: AsyncIterable<Uint8Array>,
  { most, what }: { most: number; what: string },
): AsyncGenerator<Uint8Array, void> {
  let bytes = 0;
  for await (const chunk of chunks) {
    bytes += chunk.length;
    if (bytes > most) throw new ThawError("agent-fault", `${what} has more than ${most} bytes`);
    yield chunk;
  }
}

async function readOutputs(files: GuestFiles, plan: StepPlan, signal: AbortSignal): Promise<GuestOutputs> {
  const { outputFile, outputs } = plan;
  if (outputFile === undefined) return { values: new Map(), refused: [] };
  try {
    const chunks: Uint8Array[] = [];
    const what = "$GITHUB_OUTPUT";
    for await (const chunk of bounded(files.read(outputFile, { signal }), { most: MAX_FILE_BYTES, what }))
      chunks.push(chunk);
    return parseGuestOutputs(Buffer.concat(chunks), outputs);
  } catch (error) {
    if (isMissing(error)) return { values: new Map(), refused: [] };
    return { values: new Map(), refused: [`outputs: ${describeError(error)}`] };
  }
}

/** Copies a file or folder to the same place beneath the checkout. Links on the way that lead out are refused. */
async function copyBack(
  files: GuestFiles,
  match: Match,
  options: { folder: string; signal: AbortSignal; notes: string[] },
): Promise<void> {
  const { folder, signal, notes } = options;
  const refused = refuseArtifact(match.path.split("/"));
  if (refused !== undefined) throw new RangeError(refused);
  const target = resolveInside(folder, match.path);
  await mkdir(dirname(target), { recursive: true });
  const source = join(workspacePath, match.path);
  if (match.type === "dir") {
    const { unpackTree } = await import("../client/index.ts");
    const limits = { entries: MAX_ARTIFACT_ENTRIES, bytes: MAX_ARTIFACT_BYTES };
    const { skipped } = await unpackTree(files.tree(source, { signal }), target, {
      overwrite: true,
      leaveOut: (parts) => refuseArtifact(parts.map((part) => part.toString("latin1"))),
      limits,
      signal,
    });
    for (const { path, reason } of skipped.slice(0, 10))
      notes.push(`artifact ${match.path}: not copied: ${showPath(path)}: ${reason}`);
    return;
  }
  await receive(
    bounded(files.read(source, { signal }), { most: MAX_ARTIFACT_BYTES, what: match.path }),
    target,
  );
}

/** Writes beside the target and renames: a link that is there is replaced, not followed. @returns bytes */
async function receive(chunks: AsyncIterable<Uint8Array>, target: string): Promise<number> {
  const beside = `${target}.thaw-${process.pid}`;
  try {
    const file = createWriteStream(beside, { flags: "wx", mode: 0o644 });
    await pipeline(chunks, file);
    await rename(beside, target);
    return file.bytesWritten;
  } catch (error) {
    await rm(beside, { force: true });
    throw error;
  }
}

/** In the guest: everything that differs from the commit, new files too, without a change to its index. */
const PATCH_SCRIPT = `command -v git >/dev/null || { echo "the guest has no git"; exit 3; }
cd "$1" && git rev-parse HEAD >/dev/null 2>&1 || { echo "/workspace is not a git repository with a commit"; exit 3; }
index=$(mktemp) && cp "$(git rev-parse --git-path index)" "$index" && export GIT_INDEX_FILE="$index"
git add -A && git diff --cached --binary HEAD >"$2"; status=$?; rm -f "$index"; exit $status`;

async function bringPatch(
  sandbox: SandboxReference,
  options: { target: string; random: string; signal: AbortSignal },
): Promise<number> {
  const { target, random, signal } = options;
  const file = `/tmp/thaw-patch-${random}`;
  const argv = ["sh", "-c", PATCH_SCRIPT, "thaw", workspacePath, file];
  const env = { GIT_CONFIG_COUNT: "1", GIT_CONFIG_KEY_0: "safe.directory", GIT_CONFIG_VALUE_0: "*" };
  const made = await sandbox.exec(argv, { env, maxOutputBytes: 4096, timeoutMs: 120_000, signal });
  if (made.exitCode !== 0) {
    const why =
      (made.stdout + made.stderr).trim().slice(0, 300) || `git ended with exit code ${made.exitCode}`;
    throw new ThawError("conflict", why);
  }
  await mkdir(dirname(target), { recursive: true });
  return receive(
    bounded(sandbox.files.read(file, { signal }), { most: MAX_PATCH_BYTES, what: "the patch" }),
    target,
  );
}

/** Takes everything that the plan asks for. What fails is noted: it changes nothing of how the step ended. */
export async function bringBack(
  plan: StepPlan,
  sandbox: SandboxReference,
  { random, signal }: { random: string; signal: AbortSignal },
): Promise<BroughtBack> {
  const { values, refused } = await readOutputs(sandbox.files, plan, signal);
  const notes = refused.map((why) => `output not set: ${why}`);
  const artifacts: string[] = [];
  const { folder, patch } = plan;
  for (const pattern of plan.artifacts) {
    try {
      const matches = await findMatches(sandbox.files, pattern, signal);
      if (matches.length === 0) notes.push(`artifacts: no file or folder matches ${pattern}`);
      for (const match of matches) {
        await copyBack(sandbox.files, match, { folder, signal, notes });
        artifacts.push(match.path);
      }
    } catch (error) {
      signal.throwIfAborted();
      notes.push(`artifacts: ${pattern}: ${describeError(error)}`);
    }
  }
  let patchBytes: number | undefined;
  if (patch !== undefined)
    try {
      patchBytes = await bringPatch(sandbox, { target: patch, random, signal });
    } catch (error) {
      signal.throwIfAborted();
      notes.push(`no patch: ${describeError(error)}`);
    }
  return { outputs: values, artifacts, patchBytes, notes };
}
