import { resolve } from "node:path";
import {
  collectWorkspace,
  type SandboxInfo,
  type SkippedEntry,
  sendEntries,
  showPath,
  type Thaw,
  ThawError,
  type Workspace,
  workspacePath,
} from "../../client/index.ts";
import { cleanText } from "../format/clean-text.ts";
import { styleErr, writeErr } from "../output.ts";

const shownSkipped = 10;

/** Chooses what goes in. Begun before the sandbox is there; a failure is told by whoever awaits it. */
export function beginWorkspace(
  folder: string,
  options: { ignore: boolean; signal: AbortSignal },
): Promise<Workspace> {
  const collecting = collectWorkspace(resolve(folder), options);
  collecting.catch(() => {});
  return collecting;
}

function warn(text: string): void {
  writeErr(`${styleErr("yellow", "thaw:")} ${text}\n`);
}

function warnOfSkipped(skipped: readonly SkippedEntry[]): void {
  for (const { path, reason } of skipped.slice(0, shownSkipped))
    warn(`not sent: ${showPath(path)}: ${reason}`);
  if (skipped.length > shownSkipped) warn(`not sent: ${skipped.length - shownSkipped} more`);
}

/** Copies the workspace into the sandbox, owned by the user the command runs as. @returns what was sent. */
export async function sendWorkspace(
  client: Thaw,
  sandbox: SandboxInfo,
  options: {
    workspace: Promise<Workspace>;
    user: string | undefined;
    keep: boolean;
    verbose: boolean;
    signal: AbortSignal;
  },
): Promise<{ entries: number; bytes: number }> {
  const { signal, keep, verbose } = options;
  const owner = options.user ?? (await client.snapshots.get(sandbox.snapshot, { signal })).defaults.user;
  const { entries, notes, countLeftOut } = await options.workspace;
  for (const note of notes) warn(note);
  const to = { path: workspacePath, user: owner, keep, signal };
  const {
    skipped,
    notes: lost,
    ...sent
  } = await sendEntries(client.sandboxes.at(sandbox.id).files, () => entries, to);
  warnOfSkipped(skipped);
  for (const note of lost) warn(cleanText(note));
  const broken = skipped.find((entry) => entry.broken === true);
  if (broken !== undefined)
    throw new ThawError(
      "conflict",
      `the workspace could not be sent: ${showPath(broken.path)}: ${broken.reason}`,
    );
  if (verbose) {
    const leftOut = (await countLeftOut()) + skipped.length;
    writeErr(
      `workspace: ${sent.entries} files and folders, ${sent.bytes} bytes · ${leftOut} files left out\n`,
    );
  }
  return sent;
}
