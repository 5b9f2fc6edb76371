import { chmodSync, lstatSync, mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { CAPTURE_ID_PATTERN } from "../../api/patterns.ts";
import { type DiskListing, type SkippedEntry, type Thaw, ThawError } from "../../client/index.ts";
import { writeFully } from "../exec-io/fd-writer.ts";
import { cleanText } from "../format/clean-text.ts";
import { describeDiskAge } from "../format/disk-age.ts";
import { styleErr, writeErr } from "../output.ts";
import type { Copied, CopyOptions } from "./copy-in.ts";
import { copyOut, copyOutToStdout, writeWhole } from "./copy-out.ts";
import { lastName, namesContents, type Operand, under } from "./operand.ts";

type Entry = DiskListing["entry"];

/** Whether a name is a capture's: those read their files without being booted. */
export function isCapture(name: string): boolean {
  return name === "latest" || CAPTURE_ID_PATTERN.test(name);
}

/** Copies a file or folder of a capture to this host, or a file to stdout: from the machine as it was, or else from its disk. */
export async function copyCaptured(
  client: Thaw,
  from: Extract<Operand, { kind: "guest" }>,
  to: Extract<Operand, { kind: "local" | "stream" }>,
  options: CopyOptions & { verbose: boolean },
): Promise<Copied> {
  const { signal, verbose } = options;
  const capture = await client.captures.get(from.sandbox, { signal });
  const place = { ...from, sandbox: capture.id };
  const { level, why } = await client.captures.listFiles(capture.id, from.path, { signal });
  if (verbose) writeErr(`${describeLevel(level, why)}\n`);
  if (level === "memory") {
    const files = client.captures.files(capture.id);
    return to.kind === "local"
      ? copyOut(files, place, to.path, options)
      : copyOutToStdout(files, place, options);
  }
  const note = describeDiskAge(capture);
  if (note !== null) writeErr(`${styleErr("yellow", "thaw:")} ${note}\n`);
  return copyFromDisk(client, place, to, options);
}

function describeLevel(level: "memory" | "files", why: string | null): string {
  if (level === "memory") return "read from the machine as it was, thawed for it";
  return `read from its disk: ${cleanText(why ?? "")}`;
}

/** Only files and folders; links are named and left out. */
async function copyFromDisk(
  client: Thaw,
  from: Extract<Operand, { kind: "guest" }>,
  to: Extract<Operand, { kind: "local" | "stream" }>,
  options: CopyOptions,
): Promise<Copied> {
  const { meter, signal } = options;
  const level = "files";
  const { entry, entries } = await client.captures.listFiles(from.sandbox, from.path, { level, signal });
  if (to.kind === "stream") return archiveFromDisk(client, from, { entry, entries }, options);
  const skipped: SkippedEntry[] = [];
  let count = 0;
  const receive = async (path: string, found: Entry, target: string): Promise<void> => {
    if (found.type === "dir") return receiveFolder(path, found, target);
    if (found.type !== "file") {
      skipped.push({ path: Buffer.from(path), reason: `it is a ${found.type}` });
      return;
    }
    const bytes = meter.count(client.captures.readFile(from.sandbox, path, { level, signal }));
    refuseThere(target);
    await writeWhole(target, bytes, { mode: found.mode });
    count += 1;
  };
  const receiveFolder = async (path: string, found: Entry, target: string): Promise<void> => {
    mkdirSync(target);
    count += 1;
    const listing = await client.captures.listFiles(from.sandbox, path, { level, signal });
    for (const inner of listing.entries)
      await receive(under(path, safeName(inner.name)), inner, join(target, inner.name));
    chmodSync(target, (found.mode & 0o777) | 0o700);
  };
  const there = statSync(to.path, { throwIfNoEntry: false });
  if (namesContents(from.path) && there?.isDirectory()) {
    for (const inner of entries)
      await receive(under(from.path, safeName(inner.name)), inner, join(to.path, inner.name));
  } else {
    const target = there?.isDirectory() ? join(to.path, safeName(lastName(from.path))) : to.path;
    refuseThere(target);
    await receive(from.path, entry, target);
  }
  return { entries: count, bytes: meter.bytes, skipped };
}

/** Writes a tar archive of files and folders to our stdout. A disk tells no times. */
async function archiveFromDisk(
  client: Thaw,
  from: Extract<Operand, { kind: "guest" }>,
  top: { entry: Entry; entries: readonly Entry[] },
  { meter, signal }: CopyOptions,
): Promise<Copied> {
  const { writeTar } = await import("../../client/tree/tar-out.ts");
  const level = "files";
  const skipped: SkippedEntry[] = [];
  const archive = writeTar(async (tar) => {
    const add = async (
      path: string,
      found: Entry,
      name: string,
      inside?: readonly Entry[],
    ): Promise<void> => {
      const meta = { mode: found.mode, uid: found.uid, gid: found.gid, mtimeNs: 0n };
      if (found.type === "file") {
        const bytes = client.captures.readFile(from.sandbox, path, { level, signal });
        return tar.file(name, { ...meta, size: found.size }, bytes);
      }
      if (found.type !== "dir") {
        skipped.push({ path: Buffer.from(path), reason: `it is a ${found.type}` });
        return;
      }
      await tar.folder(name, meta);
      const listed =
        inside ?? (await client.captures.listFiles(from.sandbox, path, { level, signal })).entries;
      for (const one of listed) await add(under(path, safeName(one.name)), one, `${name}/${one.name}`);
    };
    const name = namesContents(from.path) ? "." : safeName(lastName(from.path));
    await add(from.path, top.entry, name, top.entries);
  });
  for await (const chunk of meter.count(archive)) await writeFully(1, chunk);
  return { entries: 1, bytes: meter.bytes, skipped };
}

/** Nothing is overwritten, and nothing is written through a link. */
function refuseThere(target: string): void {
  if (lstatSync(target, { throwIfNoEntry: false }))
    throw new ThawError("conflict", `${target} is there already`, {
      hint: "remove it, or copy to another name",
    });
}

/** A name that the guest chose, as a name in our folder. */
function safeName(name: string): string {
  if (name === "" || name === "." || name === ".." || /[/\0]/.test(name))
    throw new ThawError(
      "agent-fault",
      `the capture has a file named ${JSON.stringify(name)}, which can't be copied`,
    );
  return name;
}
