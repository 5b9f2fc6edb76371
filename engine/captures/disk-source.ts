/** The files of a captured disk, read without booting anything. */
import { posix } from "node:path";
import type { DiskEntry, DiskFiles } from "../../runners/runner.ts";
import { EngineError } from "../errors.ts";
import type { LiveContext } from "../sandboxes/freeze.ts";
import type { FileSource } from "./file-source.ts";
import { makeRoom, openDisks } from "./replay.ts";
import type { CaptureStore, StoredCapture } from "./store.ts";

/** Where a guest has a file system in memory, as its init mounts them. */
const IN_MEMORY = ["/dev/shm", "/dev", "/run", "/proc", "/sys"];

export async function openDiskSource(
  context: LiveContext,
  store: CaptureStore,
  capture: StoredCapture,
): Promise<FileSource> {
  const { dir, clear } = await makeRoom(context);
  try {
    const { signal } = new AbortController();
    const disks = await openDisks(context, store, capture, { into: dir, signal });
    const disk = await context.runner.openDisk(disks, dir, capture.manifest.resources.diskMib, {
      room: (bytes) => context.needDisk(bytes),
      signal,
    });
    return {
      level: "files",
      agent: null,
      async look(path, stop) {
        const { entry, parent } = await find(disk, capture, path, stop);
        const entries = entry.type === "dir" ? await disk.list(entry.inode, parent, stop) : [];
        return { entry, entries, truncated: false };
      },
      async read(path, stop) {
        const { type, inode, size } = (await find(disk, capture, path, stop)).entry;
        if (type !== "file")
          throw new EngineError("conflict", `${capture.id}:${path} is not a file: it is a ${type}`);
        return whole(disk.read(inode, stop), { size, name: `${capture.id}:${path}` });
      },
      close: clear,
    };
  } catch (error) {
    await clear();
    throw error;
  }
}

async function find(
  disk: DiskFiles,
  { id }: StoredCapture,
  path: string,
  signal: AbortSignal,
): Promise<{ entry: DiskEntry; parent: number }> {
  refuseMemory(id, path);
  let parent = disk.root;
  let found: DiskEntry = { inode: disk.root, name: "", type: "dir", size: 0, mode: 0o755, uid: 0, gid: 0 };
  for (const name of path.split("/").filter((part) => part !== "" && part !== ".")) {
    const entries = found.type === "dir" ? await disk.list(found.inode, parent, signal) : [];
    const next = entries.find((entry) => entry.name === name);
    if (!next) throw new EngineError("not-found", `there is no ${path} on the disk of ${id}`);
    parent = found.inode;
    found = next;
  }
  return { entry: found, parent };
}

/** What the disk has at such a path is an empty folder, which would pass for what the guest saw there. */
function refuseMemory(id: string, path: string): void {
  const mount = IN_MEMORY.find((one) => `${posix.resolve(path)}/`.startsWith(`${one}/`));
  if (mount === undefined) return;
  throw new EngineError(
    "not-found",
    `${path} is not on the disk of ${id}: ${mount} is in the machine's memory only`,
    { hint: `thaw capture check ${id}` },
  );
}

/** The bytes of a file, which are as many as its folder says: fewer or more is an error, not a file. */
async function* whole(
  bytes: AsyncIterable<Buffer>,
  { size, name }: { size: number; name: string },
): AsyncGenerator<Buffer> {
  let count = 0;
  for await (const chunk of bytes) {
    count += chunk.length;
    if (count > size) break;
    yield chunk;
  }
  if (count !== size)
    throw new EngineError("snapshot-corrupt", `${name} has ${size} bytes, but at least ${count} were read`);
}
