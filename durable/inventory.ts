/** Folders that are made once and used again: each lists its files, with sizes and digests, in a file that is written last. */
import { readdir, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { sha256File } from "./digest.ts";
import { publish } from "./publish.ts";
import { writeWhole } from "./write.ts";

const INVENTORY_FILE = "files.json";
const inventory = z.strictObject({
  schema: z.literal(1),
  files: z.array(
    z.strictObject({
      name: z.string().regex(/^[^/]+$/),
      sizeBytes: z.int().min(0),
      sha256: z.string().regex(/^[0-9a-f]{64}$/),
    }),
  ),
});

/** `none`: it has no list, or one that can't be read. `altered`: a file is not what the list says. */
export type InventoryState = "whole" | "none" | "altered";

/** One at a time: a folder that another has just published is not taken for one to be replaced. */
let turn: Promise<void> = Promise.resolve();

/** Publishes the folder `draft` with the list of its files, in the place of a `target` that is not whole. A whole one stays. */
export function publishListed(draft: string, target: string): Promise<void> {
  const done = turn.then(async () => {
    if ((await checkListed(target)) === "whole") return;
    const manifest = { name: INVENTORY_FILE, text: await describe(draft) };
    await rm(target, { recursive: true, force: true });
    await publish({ draft, target, manifest });
  });
  turn = done.catch(() => {});
  return done;
}

/** Lists the files of a folder of an older version, which the caller has found to be whole. */
export async function adoptListed(dir: string): Promise<void> {
  await writeWhole(join(dir, INVENTORY_FILE), await describe(dir), { survives: "power-loss" });
}

/** Reads every file. Files that are not listed are not looked at. */
export async function checkListed(dir: string, signal?: AbortSignal): Promise<InventoryState> {
  const listed = inventory.safeParse(await readJson(join(dir, INVENTORY_FILE)));
  if (!listed.success) return "none";
  for (const { name, sizeBytes, sha256 } of listed.data.files) {
    const path = join(dir, name);
    if ((await stat(path).catch(() => null))?.size !== sizeBytes) return "altered";
    if ((await sha256File(path, signal)) !== sha256) return "altered";
  }
  return "whole";
}

async function describe(dir: string): Promise<string> {
  const names = (await readdir(dir)).filter((name) => name !== INVENTORY_FILE).sort();
  const files = [];
  for (const name of names) {
    const path = join(dir, name);
    files.push({ name, sizeBytes: (await stat(path)).size, sha256: await sha256File(path) });
  }
  return `${JSON.stringify({ schema: 1, files }, null, 2)}\n`;
}

async function readJson(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, "utf8"));
  } catch {
    return null;
  }
}
