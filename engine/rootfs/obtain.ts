/** The root file system of a recipe: the one that was made before, or a new one. */
import { statSync } from "node:fs";
import { join } from "node:path";
import type { Runner } from "../../runners/runner.ts";
import { EngineError } from "../errors.ts";
import type { Home } from "../home.ts";
import { mib, type OnProgress, phase } from "../progress.ts";
import type { Recipe } from "../templates/recipe.ts";
import { buildImageRootfs } from "./image/build.ts";
import { imageDir, lastImageOf, noteReference, readConfig, writeConfig } from "./image/kept.ts";
import { type ImageReference, imageReference } from "./image/reference.ts";
import { type ResolvedImage, resolveConfig, resolveImage } from "./image/resolve.ts";
import { keptRootfs, ROOT_DISK } from "./kept.ts";
import { keyOf, makeRootfs, publishRootfs, renewedDir, rootfsDir } from "./make.ts";

/** A root disk, and how commands run in it where the recipe does not say it. */
export interface Rootfs {
  disk: string;
  defaults: { env: Record<string, string>; user: string; workdir: string };
}

interface Context {
  home: Home;
  runner: Pick<Runner, "diskFault" | "rootDisk">;
  /** Throws `host-not-ready` when the host lacks tools that make a root file system. */
  needTools(): Promise<void>;
  /** Throws `no-space` when there would be less than the host keeps free. */
  needDisk(bytes?: number): Promise<void>;
}
interface Options {
  onProgress: OnProgress;
  signal: AbortSignal;
  /** Makes the root file system of a Debian suite anew. That of an image is made anew when its tag leads to another image. */
  renew?: boolean;
}

const DEBIAN_DEFAULTS: Rootfs["defaults"] = { env: {}, user: "root", workdir: "/root" };

export async function obtainRootfs(context: Context, recipe: Recipe, options: Options): Promise<Rootfs> {
  const reference = imageReference(recipe.from);
  if (reference !== null) return obtainImage(context, recipe, reference, options);
  const { home, runner, needTools } = context;
  const { onProgress, signal, renew = false } = options;
  const diskMib = recipe.resources.disk;
  const form = runner.rootDisk;
  const newest = await rootfsDir(home, recipe, form);
  const kept = renew ? null : await keptRootfs(newest, { diskMib, runner, signal });
  if (kept !== null) return { disk: kept, defaults: DEBIAN_DEFAULTS };
  await needTools();
  const disk = await phase(
    onProgress,
    { subject: recipe.name, phase: "root file system", detail: (path: string) => mib(statSync(path).size) },
    () => makeRootfs(home, recipe, { dir: renew ? renewedDir(newest) : newest, form, signal }),
  );
  return { disk, defaults: DEBIAN_DEFAULTS };
}

async function obtainImage(
  context: Context,
  recipe: Recipe,
  reference: ImageReference,
  { onProgress, signal }: Options,
): Promise<Rootfs> {
  const { home, runner, needTools, needDisk } = context;
  const diskMib = recipe.resources.disk;
  const subject = recipe.name;
  const form = runner.rootDisk;
  const formKey = await keyOf(form);
  const sought = { reference, diskMib, subject, formKey };
  const { image, digest } = await findImage(home, sought, { onProgress, signal });
  const dir = imageDir(home, digest, diskMib, formKey);
  const kept = await keptImage(dir, { diskMib, runner, signal });
  if (kept !== null) {
    await noteReference(dir, reference.text);
    return kept;
  }
  await needTools();
  const resolved = image ?? (await resolveImage(reference, signal));
  const config = await resolveConfig(resolved, signal);
  await publishRootfs(home, dir, async (draft) => {
    const outputDisk = join(draft, ROOT_DISK);
    const room = (bytes: number): Promise<void> => needDisk(bytes);
    await buildImageRootfs({
      image: resolved,
      ...{ config, subject, form },
      outputDisk,
      diskMib,
      room,
      onProgress,
      signal,
    });
    await writeConfig(draft, digest, config);
  });
  await noteReference(dir, reference.text);
  return { disk: join(dir, ROOT_DISK), defaults: config.defaults };
}

/** What a reference means now; what it meant last when it names a digest, which never changes, or when the registry can't be reached. */
async function findImage(
  home: Home,
  {
    reference,
    diskMib,
    subject,
    formKey,
  }: { reference: ImageReference; diskMib: number; subject: string; formKey: readonly string[] },
  { onProgress, signal }: Options,
): Promise<{ digest: string; image: ResolvedImage | null }> {
  const last = await lastImageOf(home, reference.text, diskMib, formKey);
  if (last !== null && reference.digest !== undefined) return { digest: last, image: null };
  interface Found {
    digest: string;
    image: ResolvedImage | null;
    why?: string;
  }
  const detail = ({ digest, why }: Found): string =>
    `${digest.slice(0, 19)}${why === undefined ? "" : `, made before: ${why}`}`;
  return phase<Found>(onProgress, { subject, phase: "image", detail }, async () => {
    try {
      const image = await resolveImage(reference, signal);
      return { digest: image.digest, image };
    } catch (error) {
      if (last === null || !(error instanceof EngineError) || error.code !== "store-unreachable") throw error;
      return { digest: last, image: null, why: error.message };
    }
  });
}

async function keptImage(
  dir: string,
  options: { diskMib: number; runner: Pick<Runner, "diskFault">; signal: AbortSignal },
): Promise<Rootfs | null> {
  const disk = await keptRootfs(dir, options);
  const config = disk === null ? null : await readConfig(dir);
  return disk === null || config === null ? null : { disk, defaults: config.defaults };
}
