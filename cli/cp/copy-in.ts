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
import { readStdin } from "../exec-io/stdin.ts";
import type { Meter } from "../progress/meter.ts";
import { findInGuest } from "./guest-path.ts";
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

/** A stream that can't be begun anew. */
function onlyOnce(stream: () => AsyncIterable<Uint8Array>): () => AsyncIterable<Uint8Array> {
  let begun = false;
  return () => {
    if (begun)
      throw new ThawError(
        "daemon-unreachable",
        "the daemon went away during the copy, and stdin can't be read again",
      );
    begun = true;
    return stream();
  };
}

/** Copies what is no plain file into a file of the sandbox. */
async function sendBytes(
  client: Thaw,
  to: { sandbox: string; path: string },
  options: CopyOptions & { source: AsyncIterable<Uint8Array> },
): Promise<Copied> {
  const { user, meter, signal } = options;
  const bytes = onlyOnce(() => meter.count(options.source));
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

/** Unpacks a tar archive from our stdin into a folder of the sandbox, as docker cp does. */
export async function copyStdinIn(client: Thaw, to: GuestOperand, options: CopyOptions): Promise<Copied> {
  const { user, meter, signal } = options;
  const { files } = client.sandboxes.at(to.sandbox);
  const there = await findInGuest(files, { path: to.path, signal });
  if (there === undefined)
    throw new ThawError("not-found", `there is no folder ${to.path} in ${to.sandbox}`, {
      hint: `thaw exec ${to.sandbox} -- mkdir -p ${to.path}`,
    });
  if (there.entry.type !== "dir")
    throw new ThawError("conflict", `${to.sandbox}:${to.path} is not a folder; - takes a tar archive`, {
      hint: `a file's bytes: thaw cp /dev/stdin ${to.sandbox}:${to.path}`,
    });
  const { treeOfTar } = await import("../../client/tree/tar-in.ts");
  const skipped: SkippedEntry[] = [];
  const tree = onlyOnce(() =>
    treeOfTar(meter.count(readStdin(signal)), { onSkipped: (one) => skipped.push(one) }),
  );
  return { ...(await files.writeTree(there.path, tree, { user, signal })), skipped };
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
