/** Stops a sandbox's clock, and lets it go on. */
import type { SandboxState } from "../../api/closed-lists.ts";
import type { Parts } from "../parts.ts";
import { hasChanged, noteChange } from "../sandboxes/changes.ts";
import type { Sandbox } from "../sandboxes/sandbox.ts";

type Verb = "pause" | "resume";
const BRINGS: Record<Verb, SandboxState> = { pause: "paused", resume: "running" };

/** @param request its id: asked again, it is answered by the state that it has brought about. Throws `conflict`. */
export async function pauseOrResume(
  { registry, audit }: Parts,
  verb: Verb,
  reference: string,
  request: string | undefined,
): Promise<Sandbox> {
  const sandbox = registry.find(reference);
  const { id, record } = sandbox;
  await sandbox.adopt();
  const asked = hasChanged(record, request);
  if (asked && record.state === BRINGS[verb]) return sandbox;
  if (!asked && request !== undefined) {
    // Before the machine hears of it: the next daemon finds the machine's state, and not who wanted it.
    noteChange(record, request);
    await sandbox.persistSoon();
  }
  await sandbox.during(() => sandbox[verb]());
  audit.note(verb, record.name, { id });
  return sandbox;
}
