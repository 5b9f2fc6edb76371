import { createReadStream, realpathSync, type Stats, statSync } from "node:fs";
import { basename, dirname, resolve } from "node:path";
import {
  type PackEntry,
  type SkippedEntry,
  SourceFolder,
  sendEntries,
  systemCode,
  type Thaw,
  ThawError,
  walkFolder,
} from "../../client/index.ts";
import { findInGuest } from "./guest-path.ts";
import type { Meter } from "./meter.ts";
import { folderOf, lastName, namesContents, type Operand, under } from "./operand.ts";

/** What was copied. */
export interface Copied {
  entries: number;
  bytes: number;
  skipped: SkippedEntry[];
  /** Copied, but not with all that they are. */
  reduced?: SkippedEntry[];
  /** What a person should know beside that. */
  notes?: string[];
}

/** A copy's other circumstances. */
export interface CopyOptions {
  user?: string | undefined;
  meter: Meter;
  signal: AbortSignal;
}

type GuestOperand = Extract<Operand, { kind: "guest" }>;

function lookAt(path: string): Stats {
  try {
    return statSync(path);
  } catch (error) {
    const code = systemCode(error);
    throw new ThawError(
      code === "ENOENT" || code === "ENOTDIR" ? "not-found" : "usage",
      code === "ENOENT" ? `there is no ${path} here` : `can't read ${path}: ${code}`,
      { cause: error },
    );
  }
}

/** Where in the sandbox a source named `name` goes: inside a folder that is there, else under the name given. */
async function settleTarget(
  client: Thaw,
  to: GuestOperand,
  options: { name: string; folder: boolean; signal: AbortSignal },
): Promise<{ path: string; special: boolean }> {
  const { signal } = options;
  const there = await findInGuest(client.sandboxes.at(to.sandbox).files, { path: to.path, signal });
  if (there?.entry.type === "dir") return { path: under(there.path, options.name), special: false };
  if (there !== undefined) {
    if (options.folder || to.path.endsWith("/"))
      throw new ThawError(
        "conflict",
        `${to.sandbox}:${to.path} is not a folder: it is a ${there.entry.type}`,
      );
    return { path: there.path, special: there.entry.type !== "file" };
  }
  if (to.path.endsWith("/") && !options.folder)
    throw new ThawError("not-found", `there is no folder ${to.path} in ${to.sandbox}`, {
      hint: `thaw exec ${to.sandbox} -- mkdir -p ${to.path}`,
    });
  const parent = await findInGuest(client.sandboxes.at(to.sandbox).files, {
    path: folderOf(to.path),
    signal,
  });
  if (parent === undefined)
    throw new ThawError("not-found", `there is no folder ${folderOf(to.path)} in ${to.sandbox}`, {
      hint: `thaw exec ${to.sandbox} -- mkdir -p ${folderOf(to.path)}`,
    });
  if (parent.entry.type !== "dir")
    throw new ThawError("conflict", `${to.sandbox}:${folderOf(to.path)} is not a folder`);
  return { path: under(parent.path, lastName(to.path)), special: false };
}

/** Copies our stdin, or what is no plain file, into a file of the sandbox. */
async function sendBytes(
  client: Thaw,
  to: { sandbox: string; path: string },
  options: CopyOptions & { source: AsyncIterable<Uint8Array> },
): Promise<Copied> {
  const { user, meter, signal } = options;
  let begun = false;
  const bytes = (): AsyncIterable<Uint8Array> => {
    if (begun)
      throw new ThawError(
        "daemon-unreachable",
        "the daemon went away, and what was sent can't be read again",
      );
    begun = true;
    return meter.count(options.source);
  };
  await client.sandboxes.at(to.sandbox).files.write(to.path, bytes, { user, signal });
  return { entries: 1, bytes: meter.bytes, skipped: [] };
}

async function sendTree(
  client: Thaw,
  to: { sandbox: string; path: string },
  options: CopyOptions & { entries: () => Iterable<PackEntry> },
): Promise<Copied> {
  const { user, meter, signal, entries } = options;
  const count = (bytes: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> => meter.count(bytes);
  return sendEntries(client.sandboxes.at(to.sandbox).files, entries, {
    path: to.path,
    user,
    meter: count,
    signal,
  });
}

/** Copies our stdin to a file of the sandbox. */
export async function copyStdinIn(client: Thaw, to: GuestOperand, options: CopyOptions): Promise<Copied> {
  const there = await findInGuest(client.sandboxes.at(to.sandbox).files, {
    path: to.path,
    signal: options.signal,
  });
  if (there?.entry.type === "dir" || to.path.endsWith("/"))
    throw new ThawError("conflict", `${to.sandbox}:${to.path} is a folder`, {
      hint: `name the file: ${under(to.path, "FILE")}`,
    });
  const { path } = await settleTarget(client, to, { name: "", folder: false, signal: options.signal });
  return sendBytes(client, { sandbox: to.sandbox, path }, { ...options, source: process.stdin });
}

/** Copies a file or folder of this host into the sandbox, as `cp -r` does; a link given by name is followed. */
export async function copyIn(
  client: Thaw,
  from: string,
  to: GuestOperand,
  options: CopyOptions,
): Promise<Copied> {
  const { signal, meter } = options;
  const stats = lookAt(from);
  const { sandbox } = to;
  if (!stats.isDirectory()) {
    const { path, special } = await settleTarget(client, to, { name: basename(from), folder: false, signal });
    if (!stats.isFile() || special)
      return sendBytes(client, { sandbox, path }, { ...options, source: createReadStream(from) });
    meter.total = stats.size;
    // followed here, since a tree would hold the link
    const real = realpathSync(from);
    const folder = new SourceFolder(dirname(real));
    const entry = { folder, source: Buffer.from(basename(real)), path: Buffer.from(lastName(path)) };
    return sendTree(client, { sandbox, path: folderOf(path) }, { ...options, entries: () => [entry] });
  }
  const folder = new SourceFolder(from);
  if (namesContents(from)) {
    const there = await findInGuest(client.sandboxes.at(sandbox).files, { path: to.path, signal });
    if (there !== undefined && there.entry.type !== "dir")
      throw new ThawError("conflict", `${sandbox}:${to.path} is not a folder: it is a ${there.entry.type}`);
    const path = there?.path ?? to.path;
    return sendTree(client, { sandbox, path }, { ...options, entries: () => walkFolder(folder) });
  }
  const { path } = await settleTarget(client, to, { name: basename(resolve(from)), folder: true, signal });
  const name = Buffer.from(lastName(path));
  const entries = function* (): Generator<PackEntry> {
    yield { folder, source: Buffer.alloc(0), path: name };
    yield* walkFolder(folder, { prefix: name });
  };
  return sendTree(client, { sandbox, path: folderOf(path) }, { ...options, entries });
}
