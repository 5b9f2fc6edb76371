import { ThawError } from "../errors.ts";
import type { Files } from "../resources/files.ts";
import { AttributeFinder } from "./find-attributes.ts";
import { type PackEntry, packTree, type SkippedEntry } from "./pack.ts";

/** Where a tree goes, and how. */
export interface SendOptions {
  /** The folder in the sandbox, made when absent. */
  path: string;
  /** Owner of everything. Default: as here. */
  user?: string | undefined;
  /** It is a command's workspace, kept for its capture. */
  keep?: boolean;
  /** Sees the bytes on their way. */
  meter?: (bytes: AsyncIterable<Uint8Array>) => AsyncIterable<Uint8Array>;
  signal: AbortSignal;
}

/** What was sent. */
export interface Sent {
  entries: number;
  bytes: number;
  skipped: SkippedEntry[];
  /** What a person should know: extended attributes, which are not sent. */
  notes: string[];
}

/** An agent of an older snapshot: it knows no records of hard links. */
function knowsNoLinks(error: unknown): boolean {
  return error instanceof ThawError && /a record of unknown kind 5\b/.test(error.message);
}

/** Sends entries to a sandbox. Files with several names keep them, unless the sandbox's agent is too old: then each is a file of its own. */
export async function sendEntries(
  files: Files,
  entries: () => Iterable<PackEntry>,
  options: SendOptions,
): Promise<Sent> {
  const { meter = (bytes) => bytes, signal, path, user, keep = false } = options;
  const put = async (links: boolean): Promise<Sent> => {
    let skipped: SkippedEntry[] = [];
    let finder = new AttributeFinder({ signal });
    const tree = (): AsyncIterable<Uint8Array> => {
      skipped = [];
      finder[Symbol.dispose]();
      finder = new AttributeFinder({ signal });
      const onSkipped = (entry: SkippedEntry): number => skipped.push(entry);
      const onEntry = (entry: PackEntry): void => finder.add(entry);
      return meter(packTree(entries(), { onSkipped, onEntry, links, signal }));
    };
    try {
      const sent = await files.writeTree(path, tree, { user, keep, signal });
      return { ...sent, skipped, notes: await finder.finish() };
    } finally {
      finder[Symbol.dispose]();
    }
  };
  try {
    return await put(true);
  } catch (error) {
    if (!knowsNoLinks(error)) throw error;
    return put(false);
  }
}
