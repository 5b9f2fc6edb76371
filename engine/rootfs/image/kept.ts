/** Root file systems of images that were made before: by the image's digest, and by the references that led to it. */
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { sha256 } from "../../../durable/digest.ts";
import { writeWhole } from "../../../durable/write.ts";
import type { Home } from "../../home.ts";
import type { ImageConfig } from "./resolve.ts";

const CONFIG_FILE = "image.json";
const REFERENCE_PREFIX = "reference-";
const config = z.object({
  digest: z.string(),
  defaults: z.object({ env: z.record(z.string(), z.string()), user: z.string(), workdir: z.string() }),
});

/** The folder where the root file system of an image is, or will be. */
/** @param formKey `keyOf` its disk's form */
export function imageDir(
  { rootfs }: Pick<Home, "rootfs">,
  digest: string,
  diskMib: number,
  formKey: readonly string[],
): string {
  return join(rootfs, sha256(JSON.stringify(["image", digest, diskMib, ...formKey])).slice(0, 16));
}

export async function writeConfig(draft: string, digest: string, { defaults }: ImageConfig): Promise<void> {
  await writeWhole(join(draft, CONFIG_FILE), `${JSON.stringify({ digest, defaults }, null, 2)}\n`, {
    survives: "power-loss",
  });
}

/** Null for a folder that has none. */
export async function readConfig(dir: string): Promise<z.infer<typeof config> | null> {
  try {
    return config.parse(JSON.parse(await readFile(join(dir, CONFIG_FILE), "utf8")));
  } catch {
    return null;
  }
}

/** Notes that a reference led to the root file system in `dir`, now. */
export async function noteReference(dir: string, reference: string): Promise<void> {
  await writeWhole(join(dir, referenceFile(reference)), `${reference}\n`, { survives: "daemon" });
}

/** Digest of the image that a reference led to last; null when none of it is here. */
export async function lastImageOf(
  { rootfs }: Pick<Home, "rootfs">,
  reference: string,
  diskMib: number,
  formKey: readonly string[],
): Promise<string | null> {
  let last: { digest: string; at: number } | null = null;
  for (const name of await readdir(rootfs)) {
    const dir = join(rootfs, name);
    const noted = await stat(join(dir, referenceFile(reference))).catch(() => null);
    if (noted === null || (last !== null && noted.mtimeMs < last.at)) continue;
    const digest = (await readConfig(dir))?.digest;
    if (digest !== undefined && imageDir({ rootfs }, digest, diskMib, formKey) === dir)
      last = { digest, at: noted.mtimeMs };
  }
  return last?.digest ?? null;
}

/** Of the folders with these names: the images in them, and when each reference led to one last. */
export async function imageNotes(
  rootfs: string,
  names: readonly string[],
): Promise<{ name: string; digest: string; notes: { file: string; at: number }[] }[]> {
  const found = await Promise.all(
    names.map(async (name) => {
      const dir = join(rootfs, name);
      const digest = (await readConfig(dir))?.digest;
      if (digest === undefined) return [];
      const files = (await readdir(dir)).filter((file) => file.startsWith(REFERENCE_PREFIX));
      const notes = await Promise.all(
        files.map(async (file) => ({ file, at: (await stat(join(dir, file))).mtimeMs })),
      );
      return [{ name, digest, notes }];
    }),
  );
  return found.flat();
}

function referenceFile(reference: string): string {
  return `${REFERENCE_PREFIX}${sha256(reference).slice(0, 16)}`;
}
