/** What an earlier daemon left: half-made things are cleared, machines are adopted. */
import { readdir } from "node:fs/promises";
import type { Parts } from "../parts.ts";
import { clearUnfinished, completeEntries } from "../state/entries.ts";
import { clearBuild } from "../templates/build.ts";
import { adopt } from "./adopt.ts";

export async function recover(parts: Parts): Promise<void> {
  const { home, snapshots, runner, archive, captures } = parts;
  await Promise.all([snapshots.recover(), clearUnfinished(home.rootfs), clearUnfinished(home.sandboxes)]);
  const context = { home, store: snapshots, runner };
  await Promise.all((await readdir(home.builds)).map((id) => clearBuild(context, id)));
  await archive.imports.recover();
  await captures.recover();
  await Promise.all((await completeEntries(home.sandboxes)).map((id) => adopt(parts, id)));
}
