import { type SandboxInfo, showPath, type Thaw, type Workspace } from "../client/index.ts";
import type { GuestLog } from "./log.ts";
import type { StepPlan } from "./plan.ts";

const SHOWN_SKIPPED = 10;

/** What went in. */
export interface SentToGuest {
  entries: number;
  bytes: number;
  ms: number;
}

/** Chooses what goes in, while the sandbox is made. A failure is told by whoever awaits it. */
export function beginWorkspace(
  folder: string,
  options: { exclude: string | undefined; signal: AbortSignal },
): Promise<Workspace> {
  const collecting = import("../client/index.ts").then(({ collectWorkspace }) =>
    collectWorkspace(folder, options),
  );
  collecting.catch(() => {});
  return collecting;
}

/** Copies the workspace to /workspace, and tells what was left out. */
export async function sendToGuest(
  plan: StepPlan,
  sandbox: SandboxInfo,
  options: { client: Thaw; log: GuestLog; workspace: Promise<Workspace>; signal: AbortSignal },
): Promise<SentToGuest> {
  const { client, log, signal } = options;
  const started = performance.now();
  const { sendWorkspace } = await import("../client/index.ts");
  const { settings, capture } = plan;
  const sent = await sendWorkspace(client, sandbox, {
    workspace: await options.workspace,
    user: settings.user,
    keep: capture !== "never",
    signal,
  });
  for (const note of sent.notes) await log.say(note);
  for (const { path, reason } of sent.skipped.slice(0, SHOWN_SKIPPED))
    await log.say(`not sent: ${showPath(path)}: ${reason}`);
  if (sent.skipped.length > SHOWN_SKIPPED)
    await log.say(`not sent: ${sent.skipped.length - SHOWN_SKIPPED} more`);
  const { entries, bytes } = sent;
  return { entries, bytes, ms: performance.now() - started };
}
