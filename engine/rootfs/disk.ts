/** From a tree to a root disk. */
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { RootDisk } from "../../runners/runner.ts";
import { mkfsArgv, namespacedArgv } from "./argv.ts";
import { runStep } from "./run.ts";

const DISK_TIMEOUT_MS = 5 * 60_000;

export interface WriteDiskOptions {
  tree: string;
  /** Its form; null: an ext4 file system in a qcow2 file. */
  form: RootDisk | null;
  /** Scratch file. */
  image: string;
  /** File to make. */
  outputDisk: string;
  diskMib: number;
  asRoot: boolean;
  signal?: AbortSignal | undefined;
}

/** Rejects as {@link runStep} does. */
export async function writeDisk(options: WriteDiskOptions): Promise<void> {
  const { tree, form, image, outputDisk, diskMib, asRoot, signal } = options;
  const step = { timeoutMs: DISK_TIMEOUT_MS, signal };
  if (form !== null) {
    const command = namespacedArgv(asRoot, form.argv({ tree, image: outputDisk }));
    await runStep(command, { ...step, debianPackage: form.debianPackage });
    return;
  }
  await writeFile(image, "");
  const mkfs = namespacedArgv(asRoot, ["mke2fs", ...mkfsArgv({ tree, image, diskMib })]);
  await runStep(mkfs, { ...step, debianPackage: "e2fsprogs" });
  await runStep(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-W", image, outputDisk], {
    ...step,
    debianPackage: "qemu-utils",
  });
}

/** Removes a scratch folder. Its `tree`, made in a user namespace, has owners only the namespace may remove. */
export async function removeTree(dir: string, asRoot: boolean): Promise<void> {
  if (!asRoot) {
    const remove = namespacedArgv(false, ["rm", "-rf", join(dir, "tree")]);
    await runStep(remove, { timeoutMs: DISK_TIMEOUT_MS, debianPackage: "util-linux" }).catch(() => {});
  }
  // Processes of a killed step may take a moment to end.
  await rm(dir, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
}
