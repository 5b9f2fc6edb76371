/**
 * The files of a checkpoint, as the two parts that the engine keeps of a machine: its memory, and the state that tells what is where in it.
 * The state is a line of JSON with the lengths of runsc's three files, followed by the two that are not the memory.
 */
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, open, rename, rm, stat, symlink } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { z } from "zod";
import { RunnerError } from "../runner.ts";

/** As runsc names them. */
const MEMORY = "pages.img";
const STATE = ["checkpoint.img", "pages_meta.img"] as const;
const MAX_HEADER_BYTES = 128;
const header = z.strictObject({
  checkpoint: z.int().min(1),
  pages: z.int().min(1),
  /** Of the memory. */
  memory: z.int().min(0),
});

/** Makes read-only parts of a finished checkpoint in the same file system. Takes its files away. @returns bytes of the memory */
export async function packCheckpoint(
  image: string,
  parts: { memory: string; state: string },
): Promise<number> {
  const [checkpoint, pages, memory] = await Promise.all(
    [...STATE, MEMORY].map(async (name) => (await stat(join(image, name))).size),
  );
  const file = await open(parts.state, "wx", 0o444);
  try {
    await file.writeFile(`${JSON.stringify({ checkpoint, pages, memory })}\n`);
    for (const name of STATE)
      for await (const piece of createReadStream(join(image, name))) await file.writeFile(piece);
    await file.sync();
  } finally {
    await file.close();
  }
  const pagesFile = await open(join(image, MEMORY), "r");
  try {
    await pagesFile.chmod(0o444);
    await pagesFile.sync();
    await rename(join(image, MEMORY), parts.memory);
    return memory ?? 0;
  } finally {
    await pagesFile.close();
    await rm(image, { recursive: true, force: true });
  }
}

/** Lays the files of a checkpoint out in the new folder `image`, as runsc wants them. Throws `corrupt-snapshot`. */
export async function unpackCheckpoint(
  parts: { memory: string; state: string },
  image: string,
): Promise<void> {
  const size = await sizeOf(parts.state);
  const memoryBytes = await sizeOf(parts.memory);
  const start = Buffer.alloc(Math.min(size, MAX_HEADER_BYTES));
  const file = await open(parts.state, "r");
  try {
    await file.read(start, 0, start.length, 0);
    const end = start.indexOf("\n");
    const lengths = header.safeParse(end === -1 ? null : readJson(start.toString("utf8", 0, end)));
    if (!lengths.success || end + 1 + lengths.data.checkpoint + lengths.data.pages !== size)
      throw corrupt(parts.state, "is not the state of a gVisor checkpoint");
    if (lengths.data.memory !== memoryBytes)
      throw corrupt(parts.memory, `has ${memoryBytes} bytes, not ${lengths.data.memory}`);
    await mkdir(image, { mode: 0o700 });
    let from = end + 1;
    for (const [name, length] of [
      [STATE[0], lengths.data.checkpoint],
      [STATE[1], lengths.data.pages],
    ] as const) {
      const piece = createReadStream(parts.state, { start: from, end: from + length - 1 });
      await pipeline(piece, createWriteStream(join(image, name), { flags: "wx", mode: 0o600 }));
      from += length;
    }
    // Read by runsc as root. The folder is the daemon's own.
    await symlink(parts.memory, join(image, MEMORY));
  } finally {
    await file.close();
  }
}

async function sizeOf(path: string): Promise<number> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined || !found.isFile()) throw corrupt(path, "is missing");
  return found.size;
}

export function corrupt(path: string, why: string): RunnerError {
  return new RunnerError("corrupt-snapshot", `${path} ${why}`, { hint: "thaw snapshot verify" });
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
