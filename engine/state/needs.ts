/**
 * What state that can't be read needs of the host. An id that its files still show is believed; a thing that shows none may need any snapshot
 * or capture, and nothing that it may need is removed while it is there.
 */
import { open, readdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Quarantine, QuarantineKind } from "./quarantine.ts";

export interface UnreadableThing {
  /** As `thaw quarantine` takes it; of a capture in its place: its own id. */
  id: string;
  kind: QuarantineKind;
  /** Ids of snapshots; null: it may need any. */
  snapshots: ReadonlySet<string> | null;
  /** Ids of captures; null: it may need any. */
  captures: ReadonlySet<string> | null;
}

/** Kinds of things that are based on snapshots, or name one. */
const NEEDY: readonly QuarantineKind[] = ["sandbox", "tag", "capture", "draft", "import"];
/** Records are read up to here; of a disk only its header, which names what it is based on. */
const MAX_RECORD_BYTES = 1 << 20;
const HEADER_BYTES = 4096;
const MAX_DEPTH = 3;
const SNAPSHOT_ID = /(?<![0-9a-z])[0-9a-f]{16}(?![0-9a-z])/g;
/** Named as such: it is an id whether or not there is such a snapshot. */
const SNAPSHOT_FIELD = /"snapshot":\s*"([0-9a-f]{16})"/g;
const CAPTURE_ID = /(?<![0-9a-z])(?:fail|capture)-[0-9a-z]{6}(?![0-9a-z])/g;
/** Only a sandbox's record can need captures. */
const REPLAY_FIELD = /"replay":\s*(?:null|\{"capture":\s*"[^"]+")/;

/** What each unreadable thing in quarantine needs. @param existing ids of the snapshots there are */
export async function needsOfUnreadable(
  quarantine: Quarantine,
  existing: readonly string[],
): Promise<UnreadableThing[]> {
  const entries = (await quarantine.list()).filter(({ kind }) => NEEDY.includes(kind));
  return Promise.all(
    entries.map(async (entry) => {
      const place = quarantine.placeOf(entry);
      // The record of a sandbox is marked; what is beside it tells of its machine.
      const path = entry.kind === "sandbox" && !entry.moved ? dirname(place) : place;
      return { ...(await needsOf(entry.kind, path, existing)), id: entry.id, kind: entry.kind };
    }),
  );
}

/** What a file, or the files of a folder, show that they need. Never throws: what can't be looked at shows nothing. */
export async function needsOf(
  kind: QuarantineKind,
  path: string,
  existing: readonly string[],
): Promise<Pick<UnreadableThing, "snapshots" | "captures">> {
  const texts = await textsOf(path, MAX_DEPTH).catch(() => []);
  const named = texts.flatMap((text) => [...text.matchAll(SNAPSHOT_FIELD)].map(([, id = ""]) => id));
  const seen = texts.flatMap((text) => text.match(SNAPSHOT_ID) ?? []).filter((id) => existing.includes(id));
  const snapshots = new Set([...named, ...seen]);
  const captures = new Set(texts.flatMap((text) => text.match(CAPTURE_ID) ?? []));
  const replayKnown = kind !== "sandbox" || texts.some((text) => REPLAY_FIELD.test(text));
  return { snapshots: snapshots.size > 0 ? snapshots : null, captures: replayKnown ? captures : null };
}

async function textsOf(path: string, depth: number): Promise<string[]> {
  const found = await stat(path);
  if (!found.isDirectory()) return [await beginningOf(path, MAX_RECORD_BYTES)];
  const inside = await readdir(path, { withFileTypes: true });
  const texts = await Promise.all(
    inside.map(async (entry) => {
      const below = join(path, entry.name);
      if (entry.isDirectory()) return depth > 0 ? textsOf(below, depth - 1).catch(() => []) : [];
      if (!entry.isFile()) return [];
      if (entry.name.endsWith(".json")) return [await beginningOf(below, MAX_RECORD_BYTES).catch(() => "")];
      return entry.name.endsWith(".qcow2") ? [await beginningOf(below, HEADER_BYTES).catch(() => "")] : [];
    }),
  );
  return texts.flat();
}

async function beginningOf(path: string, bytes: number): Promise<string> {
  const file = await open(path, "r");
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(bytes), 0, bytes, 0);
    return buffer.toString("latin1", 0, bytesRead);
  } finally {
    await file.close();
  }
}
