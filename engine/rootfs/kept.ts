/** A root file system that was made before: used again when every byte of it is there. */
import { open } from "node:fs/promises";
import { join } from "node:path";
import { adoptListed, checkListed } from "../../durable/inventory.ts";
import type { Runner } from "../../runners/runner.ts";
import { runStep } from "./run.ts";

export const ROOT_DISK = "disk.qcow2";
const HEADER_BYTES = 4096;
const CHECK_TIMEOUT_MS = 5 * 60_000;

/** @returns path of the disk in the folder `dir`, or null when it has to be made */
export async function keptRootfs(
  dir: string,
  { diskMib, runner, signal }: { diskMib: number; runner: Pick<Runner, "diskFault">; signal: AbortSignal },
): Promise<string | null> {
  const disk = join(dir, ROOT_DISK);
  const state = await checkListed(dir, signal);
  if (state === "whole") return disk;
  if (state === "none" && (await isWholeDisk(disk, { diskMib, runner, signal }))) {
    await adoptListed(dir);
    return disk;
  }
  return null;
}

/** As far as the disk's own tables tell: older versions made no list of files. */
async function isWholeDisk(
  path: string,
  { diskMib, runner, signal }: { diskMib: number; runner: Pick<Runner, "diskFault">; signal: AbortSignal },
): Promise<boolean> {
  const file = await open(path, "r").catch(() => null);
  if (file === null) return false;
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(HEADER_BYTES), 0, HEADER_BYTES, 0);
    if (runner.diskFault(buffer.subarray(0, bytesRead), diskMib) !== null) return false;
    const { size } = await file.stat();
    const check = ["qemu-img", "check", "-f", "qcow2", "--output=json", path] as const;
    const said = await runStep(check, {
      timeoutMs: CHECK_TIMEOUT_MS,
      signal,
      debianPackage: "qemu-utils",
    });
    const { "image-end-offset": end } = JSON.parse(said) as { "image-end-offset"?: unknown };
    return typeof end === "number" && end <= size;
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof SyntaxError || (error as { code?: string }).code === "build-failed") return false;
    throw error;
  } finally {
    await file.close();
  }
}
