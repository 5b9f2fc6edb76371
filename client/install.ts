import { constants } from "node:fs";
import {
  access,
  chmod,
  copyFile,
  cp,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  writeFile,
} from "node:fs/promises";
import { dirname, join } from "node:path";
import { ThawError } from "./errors.ts";
import { newRequestId } from "./request-id.ts";
import { quoteForShell } from "./shell-quote.ts";
import { findBuildFolder, readVersion } from "./version.ts";

/** What the daemon is started with: both outlive the folder this client came in. */
export interface InstalledDaemon {
  node: string;
  script: string;
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** Copies a build. Its folders are ours to empty again, though the build's may be read-only: an action's are. */
async function copyBuild(from: string, to: string): Promise<void> {
  await cp(from, to, { recursive: true, preserveTimestamps: true });
  for (const entry of await readdir(to, { recursive: true, withFileTypes: true }))
    if (entry.isDirectory()) await chmod(join(entry.parentPath, entry.name), 0o755);
}

/** Makes `target` whole or not at all: `fill` a temporary folder beside it, then one rename. Whoever comes second is content. */
async function publishFolder(target: string, fill: (folder: string) => Promise<void>): Promise<void> {
  const temporary = `${target}.tmp-${process.pid}-${newRequestId()}`;
  try {
    await mkdir(temporary, { recursive: true, mode: 0o700 });
    await fill(temporary);
    await rename(temporary, target);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true }).catch(() => {});
    if (!(await exists(target))) throw error;
  }
}

/** Writes `<home>/thaw`: the command, for who comes with ssh to a host on whose PATH it is not. */
async function publishLauncher(home: string, { node, script }: InstalledDaemon): Promise<void> {
  const text = `#!/bin/sh\nexec ${quoteForShell(node)} -- ${quoteForShell(join(dirname(script), "thaw.mjs"))} "$@"\n`;
  const path = join(home, "thaw");
  if ((await readFile(path, "utf8").catch(() => "")) === text) return;
  await replaceFile(path, text, 0o755);
}

async function replaceFile(path: string, text: string, mode = 0o644): Promise<void> {
  const temporary = `${path}.tmp-${process.pid}-${newRequestId()}`;
  await writeFile(temporary, text, { mode });
  await rename(temporary, path);
}

/**
 * The newest build in `versions`: an older client that finds no daemon starts it rather than its own, under a newer client's feet.
 * @param own digest of this client's build, which is there
 */
async function findNewest(versions: string, own: string): Promise<string> {
  let newest = own;
  let built = readVersion(join(versions, own))?.built ?? 0;
  for (const name of await readdir(versions)) {
    const found = /^[0-9a-f]{16}$/.test(name) ? readVersion(join(versions, name)) : undefined;
    if (found === undefined || found.built <= built) continue;
    newest = name;
    built = found.built;
  }
  return newest;
}

/**
 * Copies this build and this Node into `<home>/versions`, once each, so that the daemon depends on neither a checkout nor a CI job's folder.
 * @returns the newest build there is, which may be another than this one
 * @throws ThawError `host-not-ready` when nothing was built or the folder can't be written.
 */
export async function installDaemon(home: string): Promise<InstalledDaemon> {
  const build = findBuildFolder();
  if (build === undefined) {
    throw new ThawError("host-not-ready", "thaw's daemon is not built", { hint: "npm run build" });
  }
  const versions = join(home, "versions");
  const daemon = join(versions, build.digest);
  const runtime = join(versions, `node-${process.versions.node}`);
  try {
    if (!(await exists(daemon))) {
      await publishFolder(daemon, (folder) => copyBuild(build.folder, folder));
    } else if ((readVersion(daemon)?.built ?? 0) < build.built) {
      // The same code, built again after another: it is the newest now.
      await replaceFile(
        join(daemon, "version.json"),
        await readFile(join(build.folder, "version.json"), "utf8"),
      );
    }
    if (!(await exists(runtime))) {
      await publishFolder(runtime, async (folder) => {
        await copyFile(process.execPath, join(folder, "node"), constants.COPYFILE_FICLONE);
        await chmod(join(folder, "node"), 0o755);
      });
    }
    const newest = await findNewest(versions, build.digest);
    const installed = { node: join(runtime, "node"), script: join(versions, newest, "daemon.mjs") };
    await publishLauncher(home, installed);
    return installed;
  } catch (error) {
    // A read-only file system: what is there can still be looked at.
    if ((error as NodeJS.ErrnoException).code === "EROFS")
      return { node: process.execPath, script: join(build.folder, "daemon.mjs") };
    const message = `can't install the daemon in ${versions}: ${(error as Error).message}`;
    throw new ThawError("host-not-ready", message, { hint: `df -h ${home}; ls -ld ${home}`, cause: error });
  }
}
