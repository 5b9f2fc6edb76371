/** The image of the emulated machine, made once for each version of its recipe. */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";

const RECIPE = join(import.meta.dirname, "image.sh");

/** @returns its folder. Making it takes a minute and needs root and a Debian mirror. */
export async function kvmImage(): Promise<string> {
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), ".cache");
  const digest = createHash("sha256").update(readFileSync(RECIPE)).digest("hex").slice(0, 12);
  const folder = join(cache, "thaw-test-kvm", digest);
  if (!existsSync(folder)) await execa(RECIPE, [folder]);
  return folder;
}
