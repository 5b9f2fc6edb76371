/** A capture as an artifact of the workflow's run. @actions/artifact takes most of a second to load, so only this file names it. */
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Thaw } from "../client/index.ts";
import type { StepPlan } from "./plan.ts";

const DAY_MS = 86_400_000;

/**
 * Exports a capture, encrypted where the plan names recipients, and uploads the file under `name`, not zipped: it is compressed already. An upload
 * can't be stopped; when `signal` aborts, nobody waits for it any longer, and it ends with this process.
 * @returns the file's bytes
 * @throws ThawError where it can't be exported; Error of the artifact service; the signal's reason
 */
export async function uploadCapture(
  id: string,
  options: { name: string; plan: StepPlan; client: Thaw; signal: AbortSignal },
): Promise<number> {
  const { name, plan, client, signal } = options;
  const folder = await mkdtemp(join(process.env.RUNNER_TEMP || tmpdir(), "thaw-capture-"));
  try {
    const file = join(folder, name);
    const { ArchiveWriter, encryptTo, push } = await import("../client/index.ts");
    const encryption = await encryptTo(plan.recipients);
    await using store = await ArchiveWriter.create(file);
    await push(client, store, "capture", id, { encryption, signal });
    await store.finish();
    const { DefaultArtifactClient } = await import("@actions/artifact");
    signal.throwIfAborted();
    const { retentionMs } = plan;
    const days = retentionMs === undefined ? {} : { retentionDays: Math.ceil(retentionMs / DAY_MS) };
    const upload = new DefaultArtifactClient().uploadArtifact(name, [file], folder, {
      skipArchive: true,
      ...days,
    });
    await Promise.race([upload, rejectOn(signal)]);
    return (await stat(file)).size;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function rejectOn(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    else signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}
