/** One disk out of a chain of layers. What the layers hold is somebody else's, so qemu-img works in a jail where there is one. */
import { open } from "node:fs/promises";
import { join } from "node:path";
import { RunnerError } from "../runner.ts";
import type { Context } from "./context.ts";
import { checkQcow2, QCOW2_HEADER_BYTES } from "./qcow2.ts";
import { runTool } from "./tool.ts";

const TIMEOUT_MS = 300_000;
const MIB = 1024 * 1024;
const FILES_DIR = "/layers";
const TARGET_DIR = "/target";

export async function flattenDisk(
  context: Context,
  chain: { disks: readonly string[]; target: string; diskMib: number },
  signal?: AbortSignal,
): Promise<void> {
  const { disks, target, diskMib } = chain;
  for (const disk of disks) await checkLayer(disk, diskMib * MIB);
  const { jailed } = await context.jail();
  const inside = jailed ? disks.map((_, index) => `${FILES_DIR}/${index}`) : disks;
  const made = await open(target, "wx", 0o600);
  await made.close();
  const image = describeChain(inside);
  const convert = ["convert", "-O", "qcow2", image, jailed ? TARGET_DIR : target];
  const options = { timeoutMs: TIMEOUT_MS, signal, code: "corrupt-snapshot" as const };
  if (!jailed) return void (await runTool("qemu-img", convert, { ...options, debianPackage: "qemu-utils" }));
  const bound = disks.flatMap((disk, index) => ["--ro-bind", disk, inside[index] ?? ""]);
  await runTool(
    "bwrap",
    [
      ...["--unshare-all", "--cap-drop", "ALL", "--clearenv", "--die-with-parent", "--new-session"],
      ...["--ro-bind", "/usr", "/usr", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64"],
      ...["--proc", "/proc", "--dev", "/dev", ...bound, "--bind", target, TARGET_DIR],
      ...["--", "/usr/bin/qemu-img", ...convert],
    ],
    { ...options, debianPackage: "bubblewrap" },
  );
}

/** Backing given here, none taken from a header. */
function describeChain(files: readonly string[]): string {
  const chain = files.reduce<object | null>(
    (backing, filename) => ({
      driver: "qcow2",
      file: { driver: "file", filename },
      ...(backing === null ? {} : { backing }),
    }),
    null,
  );
  return `json:${JSON.stringify(chain)}`;
}

async function checkLayer(path: string, bytes: number): Promise<void> {
  const handle = await open(path, "r");
  try {
    const { buffer, bytesRead } = await handle.read(
      Buffer.alloc(QCOW2_HEADER_BYTES),
      0,
      QCOW2_HEADER_BYTES,
      0,
    );
    const verdict = checkQcow2(buffer.subarray(0, bytesRead));
    const why = verdict.ok
      ? verdict.virtualSize === bytes
        ? null
        : `is a disk of ${verdict.virtualSize} bytes, not ${bytes}`
      : verdict.reason;
    if (why !== null) throw new RunnerError("corrupt-snapshot", `${join(path)} ${why}`);
  } finally {
    await handle.close();
  }
}
