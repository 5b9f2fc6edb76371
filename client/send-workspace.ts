import { ThawError } from "./errors.ts";
import type { Thaw } from "./thaw.ts";
import { showPath } from "./tree/format.ts";
import type { SkippedEntry } from "./tree/pack.ts";
import { sendEntries } from "./tree/send.ts";
import type { Workspace } from "./workspace.ts";
import { workspacePath } from "./workspace-path.ts";

/** What was sent of a workspace. */
export interface SentWorkspace {
  entries: number;
  bytes: number;
  /** What could not be sent, and why. */
  skipped: SkippedEntry[];
  /** What a person should know. They name files of the workspace: don't trust them. */
  notes: string[];
}

/**
 * Copies a workspace to /workspace of a sandbox, owned by the user that its commands run as.
 * @param options user: the owner; default: the snapshot's. keep: it is stored with the capture of a failure.
 * @throws ThawError `conflict` when a file changed while it was read.
 */
export async function sendWorkspace(
  client: Thaw,
  sandbox: { id: string; snapshot: string },
  options: { workspace: Workspace; user: string | undefined; keep: boolean; signal: AbortSignal },
): Promise<SentWorkspace> {
  const { signal, keep, workspace } = options;
  const user = options.user ?? (await client.snapshots.get(sandbox.snapshot, { signal })).defaults.user;
  const { files } = client.sandboxes.at(sandbox.id);
  const sent = await sendEntries(files, () => workspace.entries, { path: workspacePath, user, keep, signal });
  const broken = sent.skipped.find((entry) => entry.broken === true);
  if (broken === undefined) return { ...sent, notes: [...workspace.notes, ...sent.notes] };
  const what = `${showPath(broken.path)}: ${broken.reason}`;
  throw new ThawError("conflict", `the workspace could not be sent: ${what}`);
}
