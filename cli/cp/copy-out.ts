import { randomBytes } from "node:crypto";
import {
  chmodSync,
  closeSync,
  fchmodSync,
  ftruncateSync,
  futimesSync,
  openSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import {
  type GuestFiles,
  LostAttributes,
  type SkippedEntry,
  ThawError,
  unpackTree,
} from "../../client/index.ts";
import { writeFully } from "../exec-io/fd-writer.ts";
import type { Copied, CopyOptions } from "./copy-in.ts";
import { findInGuest, type GuestPlace } from "./guest-path.ts";
import { lastName, namesContents, type Operand } from "./operand.ts";

type GuestOperand = Extract<Operand, { kind: "guest" }>;

/** What one file may hold: a guest can go on forever. */
const MAX_FILE_BYTES = 64 * 2 ** 30;
/** Zeros of this size are left out, so that holes stay holes. */
const HOLE_BYTES = 65_536;
const ZEROS = Buffer.alloc(HOLE_BYTES);
/** Of a tree whose connection breaks. */
const MAX_TRIES = 3;

async function find(files: GuestFiles, from: GuestOperand, signal: AbortSignal): Promise<GuestPlace> {
  const place = await findInGuest(files, { path: from.path, signal });
  if (place !== undefined) return place;
  throw new ThawError("not-found", `there is no ${from.path} in ${from.sandbox}`);
}

function lookAt(path: string): Stats | undefined {
  return statSync(path, { throwIfNoEntry: false });
}

/** A name that the guest chose, as a name in our folder. */
function safeName(path: string): string {
  const name = lastName(path);
  if (name === "" || name === "." || name === ".." || name.includes("\0"))
    throw new ThawError("usage", `${path} has no name to be copied under`, { hint: "give the copy's name" });
  return name;
}

/** Where a source goes: inside a folder that is there, else under the name given, whose folder has to be there. */
function settleTarget(to: string, name: () => string): string {
  const there = lookAt(to);
  if (there?.isDirectory()) return join(to, name());
  if (there !== undefined) return to;
  if (lookAt(dirname(to))?.isDirectory() !== true)
    throw new ThawError("not-found", `there is no folder ${dirname(to)} here`, {
      hint: `mkdir -p ${dirname(to)}`,
    });
  return to;
}

/** Writes a tar archive of a file or folder of the sandbox to our stdout, as docker cp does; a link given by name is followed. */
export async function copyOutToStdout(
  files: GuestFiles,
  from: GuestOperand,
  options: CopyOptions,
): Promise<Copied> {
  const { meter, signal } = options;
  const { tarOfFile, tarOfTree } = await import("../../client/tree/tar-out.ts");
  const place = await find(files, from, signal);
  const { path, entry } = place;
  const { type, mode, uid, gid, size } = entry;
  const meta = { mode, uid, gid, mtimeNs: BigInt(entry.mtimeNs) };
  const name = namesContents(from.path) ? "" : safeName(from.path);
  const skipped: SkippedEntry[] = [];
  const lost = new LostAttributes();
  if (type !== "dir" && (type !== "file" || from.path.endsWith("/") || name === ""))
    throw new ThawError("conflict", `${from.sandbox}:${from.path} can't be in an archive: it is a ${type}`);
  const archive =
    type === "dir"
      ? tarOfTree(files.tree(path, { signal }), {
          ...{ name, meta },
          onSkipped: (one) => skipped.push(one),
          onAttributes: (at, names) => lost.add(at, names),
        })
      : tarOfFile(name, { ...meta, size }, files.read(path, { signal }));
  for await (const chunk of meter.count(archive)) await writeFully(1, chunk);
  return { entries: 1, bytes: meter.bytes, skipped, notes: describeLost(lost, place) };
}

function writeAll(fd: number, chunk: Buffer, position: number): void {
  for (let at = 0; at < chunk.length; )
    at += writeSync(fd, chunk, at, chunk.length - at, position < 0 ? null : position + at);
}

/** Writes chunks; blocks of zeros become holes where the file can have them. @returns its length. */
async function writeChunks(
  fd: number,
  chunks: AsyncIterable<Uint8Array>,
  options: { seekable: boolean },
): Promise<number> {
  let end = 0;
  for await (const bytes of chunks) {
    const chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    if (end + chunk.length > MAX_FILE_BYTES)
      throw new ThawError("agent-fault", `the file passes ${MAX_FILE_BYTES} bytes`);
    for (let at = 0; at < chunk.length; at += HOLE_BYTES) {
      const block = chunk.subarray(at, at + HOLE_BYTES);
      if (!options.seekable) writeAll(fd, block, -1);
      else if (!block.equals(ZEROS.subarray(0, block.length))) writeAll(fd, block, end + at);
    }
    end += chunk.length;
  }
  return end;
}

/** Writes beside the target and renames, so that nobody sees half a file. @param options.seconds its time, from 1970 on */
export async function writeWhole(
  target: string,
  chunks: AsyncIterable<Uint8Array>,
  options: { mode: number; seconds?: number },
): Promise<void> {
  const { mode, seconds = -1 } = options;
  const beside = join(dirname(target), `.thaw-cp-${randomBytes(6).toString("hex")}`);
  const fd = openSync(beside, "wx", 0o600);
  let open = true;
  try {
    ftruncateSync(fd, await writeChunks(fd, chunks, { seekable: true }));
    fchmodSync(fd, mode & 0o777);
    if (seconds >= 0) futimesSync(fd, seconds, seconds);
    closeSync(fd);
    open = false;
    renameSync(beside, target);
  } finally {
    if (open) closeSync(fd);
    rmSync(beside, { force: true });
  }
}

/** What of the extended attributes a person should know: they stay in the sandbox. */
function describeLost(lost: LostAttributes, { entry, path }: GuestPlace): string[] {
  if (entry.attributes === undefined)
    return ["extended attributes were not looked at: the sandbox's agent or its daemon is older than that"];
  lost.add(Buffer.from(path), entry.attributes);
  const note = lost.describe();
  return note === undefined ? [] : [note];
}

/** A target that is no plain file is written into. */
async function receiveFile(
  files: GuestFiles,
  place: GuestPlace & { sandbox: string },
  options: CopyOptions & { target: string },
): Promise<Copied> {
  const { target, meter, signal } = options;
  const { entry, path } = place;
  const there = lookAt(target);
  if (there?.isDirectory()) throw new ThawError("conflict", `${target} is a folder`);
  meter.total = entry.size;
  const chunks = meter.count(files.read(path, { signal }));
  if (there !== undefined && !there.isFile()) {
    const fd = openSync(target, "w");
    try {
      await writeChunks(fd, chunks, { seekable: false });
    } finally {
      closeSync(fd);
    }
    return { entries: 1, bytes: meter.bytes, skipped: [], notes: describeLost(new LostAttributes(), place) };
  }
  const seconds = Number(BigInt(entry.mtimeNs) / 1_000_000n) / 1000;
  await writeWhole(target, chunks, { mode: entry.mode, seconds });
  return { entries: 1, bytes: meter.bytes, skipped: [], notes: describeLost(new LostAttributes(), place) };
}

/** A tree can't be gone on with: when its daemon is killed in the middle, it is begun anew. */
async function againWhenCutOff<T>(receive: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await receive();
    } catch (error) {
      const cutOff = error instanceof ThawError && error.code === "daemon-unreachable";
      if (!cutOff || tries === MAX_TRIES) throw error;
    }
  }
}

async function receiveTree(
  files: GuestFiles,
  place: GuestPlace & { sandbox: string },
  options: CopyOptions & { target: string },
): Promise<Copied> {
  const { target, meter, signal } = options;
  const there = lookAt(target);
  if (there !== undefined && !there.isDirectory())
    throw new ThawError("conflict", `${target} is not a folder`, {
      hint: "remove it, or copy to another name",
    });
  const receive = async () => {
    const tree = meter.count(files.tree(place.path, { signal }));
    const reduced: SkippedEntry[] = [];
    const onReduced = (entry: SkippedEntry): number => reduced.push(entry);
    const lost = new LostAttributes();
    const onAttributes = (path: Buffer, names: string[]): void => lost.add(path, names);
    const result = await unpackTree(tree, target, { overwrite: true, onReduced, onAttributes, signal });
    return { reduced, lost, result };
  };
  const { reduced, lost, result } = await againWhenCutOff(receive);
  if (there === undefined) chmodSync(target, place.entry.mode & 0o777);
  const notes = describeLost(lost, place);
  return { ...result, reduced, notes, entries: result.entries + 1 };
}

/** Copies a file or folder of the sandbox to this host, as `cp -r` does; a link given by name is followed, those inside stay links. */
export async function copyOut(
  files: GuestFiles,
  from: GuestOperand,
  to: string,
  options: CopyOptions,
): Promise<Copied> {
  const { sandbox } = from;
  const place = await find(files, from, options.signal);
  const folder = place.entry.type === "dir";
  if (!folder && from.path.endsWith("/"))
    throw new ThawError("conflict", `${sandbox}:${from.path} is not a folder: it is a ${place.entry.type}`);
  if (!folder && place.entry.type !== "file" && place.entry.type !== "char")
    throw new ThawError("conflict", `${sandbox}:${from.path} can't be copied: it is a ${place.entry.type}`);
  if (folder && namesContents(from.path)) {
    if (lookAt(to) === undefined) settleTarget(to, () => "");
    return receiveTree(files, { ...place, sandbox }, { ...options, target: to });
  }
  if (!folder && to.endsWith("/") && lookAt(to) === undefined)
    throw new ThawError("not-found", `there is no folder ${to} here`, { hint: `mkdir -p ${to}` });
  const target = settleTarget(to, () => safeName(from.path));
  return folder
    ? receiveTree(files, { ...place, sandbox }, { ...options, target })
    : receiveFile(files, { ...place, sandbox }, { ...options, target });
}
