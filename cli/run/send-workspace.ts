import { resolve } from "node:path";
import {
  collectWorkspace,
  type SandboxInfo,
  type SkippedEntry,
  sendWorkspace as send,
  showPath,
  type Thaw,
  type Workspace,
} from "../../client/index.ts";
import { cleanText } from "../format/clean-text.ts";
import { styleErr, writeErr } from "../output.ts";

const SHOWN_SKIPPED = 10;

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
  for (const { path, reason } of skipped.slice(0, SHOWN_SKIPPED))
    warn(`not sent: ${showPath(path)}: ${reason}`);
  if (skipped.length > SHOWN_SKIPPED) warn(`not sent: ${skipped.length - SHOWN_SKIPPED} more`);
}

/** Copies the workspace into the sandbox, and says what was left out. */
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
): Promise<void> {
  const { user, keep, verbose, signal } = options;
  const workspace = await options.workspace;
  const { skipped, notes, entries, bytes } = await send(client, sandbox, { workspace, user, keep, signal });
  for (const note of notes) warn(cleanText(note));
  warnOfSkipped(skipped);
  if (!verbose) return;
  const leftOut = (await workspace.countLeftOut()) + skipped.length;
  writeErr(`workspace: ${entries} files and folders, ${bytes} bytes · ${leftOut} files left out\n`);
}
