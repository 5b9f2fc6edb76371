/** Has a guest write its files out before it is frozen, so that its disk is as new as its memory; knows how old a disk is where that failed. */

import type { CaseFile } from "../../api/case-file.ts";
import type { Trigger } from "../../api/closed-lists.ts";
import type { Subject } from "../sandboxes/subject.ts";
import { isFrozenLive, type Manifest } from "../snapshots/manifest.ts";

/** When each sandbox last had all that it had written on its disk, as far as it was asked. */
const writtenOutAt = new WeakMap<Subject, string>();

/** @returns whether all that was written before the call is on the disk. Never fails; what is paused stays so. */
export async function writeOut(sandbox: Subject, trigger: Trigger): Promise<boolean> {
  // A kernel that panicked answers nothing.
  if (trigger === "panic") return false;
  const asked = new Date().toISOString();
  const done = await sandbox.syncGuest();
  if (done) writtenOutAt.set(sandbox, asked);
  return done;
}

/** What is known of the disk of a sandbox that was frozen after `writeOut`. @param manifest of the snapshot that it was thawed from */
export function diskAge(
  sandbox: Subject,
  { writtenOut, manifest }: { writtenOut: boolean; manifest: Manifest },
): CaseFile["disk"] {
  const { derived, createdAt } = sandbox.record;
  // A template's guest has written everything out before it is frozen; one that was frozen while it ran has not.
  const thawedAt = derived || isFrozenLive(manifest) ? null : createdAt;
  return { writtenOut, asOf: writtenOutAt.get(sandbox) ?? thawedAt };
}
