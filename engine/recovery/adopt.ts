/** One sandbox of an earlier daemon: taken up, or cleared away when it was half made or half removed. */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { readRecord } from "../files.ts";
import type { Parts } from "../parts.ts";
import { recordPath } from "../sandboxes/dir.ts";
import { sandboxRecord } from "../sandboxes/record.ts";
import { Sandbox } from "../sandboxes/sandbox.ts";
import { isLive } from "../sandboxes/state.ts";
import { watch } from "../verbs/watch.ts";

export async function adopt(parts: Parts, id: string): Promise<void> {
  const { home, runner, captures, admission, leases } = parts;
  const dir = join(home.sandboxes, id);
  const record = await readRecord(recordPath(dir), sandboxRecord);
  if (!record || record.state === "creating" || record.state === "removed") {
    await runner.clear({ id, stateDir: dir });
    await rm(dir, { recursive: true, force: true });
    return;
  }
  const sandbox = new Sandbox(dir, record, runner, captures);
  watch(parts, sandbox);
  admission.adopt(id, isLive(record.state) ? record.resources.memoryMib : 0);
  await sandbox.adopt();
  await sandbox.persist();
  if (record.leased) leases.awaitReturn(id);
}
