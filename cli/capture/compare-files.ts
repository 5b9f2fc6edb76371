/** Which files of two captures differ. Names and contents are the guests'. */
import { createHash } from "node:crypto";
import type { ComparedRow, ComparedSection } from "../../api/compare-captures.ts";
import { type DiskListing, type Thaw, ThawError } from "../../client/index.ts";
import { under } from "../cp/operand.ts";
import { formatMode } from "../format/mode.ts";
import { formatSize } from "../format/size.ts";

type Entry = DiskListing["entry"];
type Pair = readonly [a: Entry | undefined, b: Entry | undefined];

/** What is read at most; a comparison that ends early says so. */
const MAX_FOLDERS = 2000;
const MAX_READ_FILES = 2000;
/** Files of one size that are larger count as alike. */
const MAX_READ_BYTES = 1 << 20;

export interface ComparedFiles extends ComparedSection {
  /** Where they were read from, and why not from memory. */
  levels: { a: string; b: string };
  /** There was more than is read at most. */
  isCut: boolean;
}

/**
 * Compares what is at and beneath a path of two captures: by kind, mode, owner and size, small files of one size by their content too.
 * @param tell called with each folder that is read
 * @returns only what differs
 */
export async function compareFiles(
  client: Thaw,
  ids: { a: string; b: string },
  path: string,
  { signal, tell }: { signal: AbortSignal; tell: (folder: string) => void },
): Promise<ComparedFiles> {
  const rows: ComparedRow[] = [];
  const [topA, topB] = await Promise.all([ids.a, ids.b].map((id) => listOrNothing(client, id, path, signal)));
  if (topA === undefined && topB === undefined)
    throw new ThawError("not-found", `neither ${ids.a} nor ${ids.b} has ${path}`);
  const levels = { a: describeLevel(topA), b: describeLevel(topB) };
  let [folders, files] = [0, 0];
  let isCut = false;

  const digestOf = async (id: string, file: string): Promise<string> => {
    const hash = createHash("sha256");
    for await (const chunk of client.captures.readFile(id, file, { signal })) hash.update(chunk);
    return hash.digest("hex").slice(0, 12);
  };
  const compare = async (at: string, [a, b]: Pair): Promise<void> => {
    const texts = [a, b].map((entry) => (entry === undefined ? null : describeEntry(entry)));
    const [one = null, two = null] = texts;
    if (a === undefined || b === undefined) {
      rows.push({ mark: a === undefined ? "only-b" : "only-a", name: at, a: one, b: two });
      return;
    }
    if (one !== two) rows.push({ mark: "changed", name: at, a: one, b: two });
    else if (a.type === "file" && a.size > MAX_READ_BYTES)
      rows.push({ mark: "alike", name: at, a: one, b: `${two}, content not read` });
    else if (a.type === "file" && a.size > 0) {
      files += 1;
      if (files > MAX_READ_FILES) isCut = true;
      else {
        const [left, right] = await Promise.all([digestOf(ids.a, at), digestOf(ids.b, at)]);
        if (left !== right)
          rows.push({ mark: "changed", name: at, a: `${one} sha256 ${left}`, b: `${two} sha256 ${right}` });
      }
    }
    if (a.type === "dir" && b.type === "dir") await compareFolder(at);
  };
  const compareFolder = async (
    folder: string,
    known?: readonly (DiskListing | undefined)[],
  ): Promise<void> => {
    folders += 1;
    if (folders > MAX_FOLDERS) {
      isCut = true;
      return;
    }
    tell(folder);
    const [left, right] =
      known ?? (await Promise.all([ids.a, ids.b].map((id) => listOrNothing(client, id, folder, signal))));
    if (left?.truncated === true || right?.truncated === true) isCut = true;
    for (const [name, pair] of pairsOf(left?.entries ?? [], right?.entries ?? []))
      await compare(under(folder, name), pair);
  };

  if (topA?.entry.type === "dir" && topB?.entry.type === "dir") await compareFolder(path, [topA, topB]);
  else await compare(path, [topA?.entry, topB?.entry]);
  return { title: `Files in ${path}`, rows, levels, isCut };
}

function pairsOf(a: readonly Entry[], b: readonly Entry[]): [name: string, pair: Pair][] {
  const [left, right] = [a, b].map((entries) => new Map(entries.map((entry) => [entry.name, entry])));
  const names = new Set([...(left?.keys() ?? []), ...(right?.keys() ?? [])].sort());
  return [...names].map((name) => [name, [left?.get(name), right?.get(name)]]);
}

async function listOrNothing(
  client: Thaw,
  id: string,
  path: string,
  signal: AbortSignal,
): Promise<DiskListing | undefined> {
  try {
    return await client.captures.listFiles(id, path, { signal });
  } catch (error) {
    if (error instanceof ThawError && error.code === "not-found") return undefined;
    throw error;
  }
}

function describeLevel(listing: DiskListing | undefined): string {
  if (listing === undefined) return "not there";
  return listing.level === "memory" ? "the machine as it was" : `its disk: ${listing.why ?? ""}`;
}

function describeEntry(entry: Entry): string {
  const { type, size, uid, gid } = entry;
  // a folder's own size says nothing of what is in it
  return `${formatMode(entry)} ${uid}:${gid}${type === "dir" ? "" : ` ${formatSize(size)} (${size})`}`;
}
