/** The state just before a command, the workspace copied in or a checkpoint: kept beside it, so that a failure can be run again from the same start. */

import { createHash } from "node:crypto";
import { link, mkdir, open, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import type { CaseFile } from "../../api/case-file.ts";
import { type Read, readRecord, recordKind, writeRecord } from "../state/record.ts";

const TREE_FILE = "workspace";
const ABOUT_FILE = "workspace.json";
const CHECKPOINT_DIR = "before";

const about = recordKind(
  "workspace record",
  z.strictObject({
    path: z.string(),
    user: z.string().nullable(),
    digest: z.string(),
    bytes: z.number(),
  }),
);

/** Passes a tree stream on and keeps a copy in a sandbox's folder. One that ends early is not kept. */
export async function* keepTree(
  dir: string,
  to: { path: string; user: string | undefined },
  source: AsyncIterable<Buffer>,
): AsyncGenerator<Buffer, void> {
  const path = join(dir, TREE_FILE);
  const hash = createHash("sha256");
  let bytes = 0;
  let whole = false;
  await rm(join(dir, ABOUT_FILE), { force: true });
  await rm(path, { force: true });
  const file = await open(path, "wx", 0o600);
  try {
    for await (const chunk of source) {
      await file.writeFile(chunk);
      hash.update(chunk);
      bytes += chunk.length;
      yield chunk;
    }
    whole = true;
  } finally {
    await file.close();
    if (!whole) await rm(path, { force: true });
  }
  const kept = { path: to.path, user: to.user ?? null, digest: hash.digest("hex"), bytes };
  await writeRecord(join(dir, ABOUT_FILE), about, kept, { survives: "daemon" });
}

export function readWorkspace(dir: string): Promise<Read<NonNullable<CaseFile["workspace"]>>> {
  return readRecord(join(dir, ABOUT_FILE), about);
}

/** Gives the kept tree another name; nothing where there is none. */
export async function linkWorkspace(dir: string, to: string): Promise<void> {
  if ((await readWorkspace(dir)).state === "ok") await link(join(dir, TREE_FILE), to);
}

/** An empty folder for the machine as it is before a command; what was there before goes. */
export async function makeCheckpointDir(sandboxDir: string): Promise<string> {
  const dir = join(sandboxDir, CHECKPOINT_DIR);
  await rm(dir, { recursive: true, force: true });
  await mkdir(dir, { mode: 0o711 });
  return dir;
}

/** Gives a checkpoint's files other names, `before-…` in folder `to`; nothing where there is none. */
export async function linkCheckpoint(sandboxDir: string, to: string): Promise<void> {
  const dir = join(sandboxDir, CHECKPOINT_DIR);
  for (const name of await readdir(dir).catch(() => []))
    await link(join(dir, name), join(to, `before-${name}`));
}
