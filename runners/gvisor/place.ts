/** The files of a machine, in its state folder. The guest can't see any of them. */
import { copyFile, link, mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ociConfig } from "./bundle.ts";

export interface MachineFiles {
  /** Folder of all the others. */
  dir: string;
  /** OCI bundle. */
  bundle: string;
  /** Root image, read-only. */
  root: string;
  /** Named pipes to and from the agent. Its keeper makes them. */
  toAgent: string;
  fromAgent: string;
  /** Folder with the checkpoint that it is restored from. */
  image: string;
}

export function filesOf({ stateDir }: { stateDir: string }): MachineFiles {
  const dir = join(stateDir, "gvisor");
  return {
    ...{ dir, bundle: join(dir, "bundle"), root: join(dir, "root.erofs"), image: join(dir, "image") },
    ...{ toAgent: join(dir, "to-agent"), fromAgent: join(dir, "from-agent") },
  };
}

/** Makes them for a machine with this root image, which must not change any more. */
export async function makeFiles(
  { stateDir, cpus }: { stateDir: string; cpus: number },
  rootImage: string,
): Promise<MachineFiles> {
  const files = filesOf({ stateDir });
  await removeFiles({ stateDir });
  const mountPoint = join(files.bundle, "root");
  await mkdir(files.dir, { mode: 0o700 });
  await mkdir(mountPoint, { recursive: true, mode: 0o700 });
  await linkOrCopy(rootImage, files.root);
  const config = ociConfig({ root: { image: files.root, mountPoint }, cpus });
  await writeFile(join(files.bundle, "config.json"), JSON.stringify(config), { flag: "wx", mode: 0o600 });
  return files;
}

export async function removeFiles(place: { stateDir: string }): Promise<void> {
  await rm(filesOf(place).dir, { recursive: true, force: true });
}

/** The same bytes under a new name; both are read-only from now on. */
export async function linkOrCopy(from: string, to: string): Promise<void> {
  await link(from, to).catch(async (error: NodeJS.ErrnoException) => {
    if (error.code !== "EXDEV" && error.code !== "EMLINK" && error.code !== "EPERM") throw error;
    await copyFile(from, to);
  });
}
