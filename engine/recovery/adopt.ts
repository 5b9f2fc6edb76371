/** One sandbox of an earlier daemon: taken up, or cleared away when it was half made or half removed. */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { Parts } from "../parts.ts";
import { recordPath } from "../sandboxes/dir.ts";
import { sandboxKind } from "../sandboxes/record.ts";
import { Sandbox } from "../sandboxes/sandbox.ts";
import { isLive } from "../sandboxes/state.ts";
import { readRecord } from "../state/record.ts";
import { watch } from "../verbs/watch.ts";

export async function adopt(parts: Parts, id: string): Promise<void> {
  const { home, runner, captures, admission, leases, quarantine } = parts;
  const dir = join(home.sandboxes, id);
  const path = recordPath(dir);
  const read = await readRecord(path, sandboxKind);
  if (read.state === "unreadable") {
    // Its machine may run, and uses paths in the folder: everything stays as it is.
    quarantine.mark({ kind: "sandbox", what: id, path, reason: read.reason });
    return;
  }
  if (read.state === "absent" || read.value.state === "creating" || read.value.state === "removed")
    return clearSandbox(parts, id);
  const record = read.value;
  const sandbox = new Sandbox(dir, record, runner, captures);
  watch(parts, sandbox);
  admission.adopt(id, isLive(record.state) ? record.resources.memoryMib : 0);
  await sandbox.adopt();
  for (const suspect of sandbox.unreadableExecs) quarantine.mark(suspect);
  await sandbox.persist();
  if (record.leased) leases.awaitReturn(id);
}

/** Ends a machine that no record speaks for, and removes its folder. */
export async function clearSandbox({ home, runner }: Parts, id: string): Promise<void> {
  const dir = join(home.sandboxes, id);
  await runner.clear({ id, stateDir: dir });
  await rm(dir, { recursive: true, force: true });
}
