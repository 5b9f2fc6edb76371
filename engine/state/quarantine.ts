/**
 * State that could not be read: kept, named and restorable. What nothing uses is moved to `$THAW_HOME/quarantine/<kind>/<id>-<time>/`, with a
 * note beside it. What something may still use by its path (a sandbox's folder, a snapshot) stays where it is and is only marked; marks are
 * found anew by every daemon.
 */

import { mkdir, rename, rm, stat } from "node:fs/promises";
import { dirname, isAbsolute, join, normalize, relative } from "node:path";
import { z } from "zod";
import { defined } from "../../api/defined.ts";
import { sync, writeNew } from "../../durable/write.ts";
import type { Probe } from "../../runners/runner.ts";
import { EngineError } from "../errors.ts";
import { completeEntries } from "./entries.ts";
import { readRecord, recordKind } from "./record.ts";

export const QUARANTINE_KINDS = [
  "sandbox",
  "exec",
  "snapshot",
  "tag",
  "capture",
  "draft",
  "notes",
  "import",
] as const;
export type QuarantineKind = (typeof QUARANTINE_KINDS)[number];

const NOTE_FILE = "note.json";
/** The file or folder that was moved, under its new name. */
const CONTENT = "content";

const note = recordKind(
  "quarantine note",
  z.object({
    kind: z.enum(QUARANTINE_KINDS),
    what: z.string(),
    reason: z.string(),
    at: z.string(),
    from: z.string(),
  }),
);

export interface Suspect {
  kind: QuarantineKind;
  /** Its id, or the name of its file. */
  what: string;
  /** Where it is: a file or folder below the state folder. */
  path: string;
  /** Why it can't be read: a clause such as `is empty`. */
  reason: string;
  /** What to do before it is restored, where that is not to mend the file. */
  hint?: string;
}

export interface QuarantineEntry {
  /** `<kind>/<what>-<time>`, or `<kind>/<what>` for one that was only marked. */
  id: string;
  kind: QuarantineKind;
  what: string;
  reason: string;
  /** ISO time. */
  at: string;
  /** Where it was, or still is, relative to the state folder. */
  from: string;
  /** False: it is still there. */
  moved: boolean;
  /** What to do before it is restored, where that is not to mend the file. */
  hint?: string;
}

/** Reads a thing again that is back in its place, or still there. Marks it again when it still can't be read. */
export type ReadAgain = (entry: QuarantineEntry) => Promise<void>;
/** Removes a thing that was only marked, with all that belongs to it. */
export type Discard = (entry: QuarantineEntry) => Promise<void>;

export class Quarantine {
  readonly #root: string;
  readonly #dir: string;
  readonly #marks = new Map<string, QuarantineEntry>();
  readonly #owners = new Map<QuarantineKind, { readAgain?: ReadAgain; discard?: Discard }>();

  /** @param root the state folder */
  constructor(root: string) {
    this.#root = root;
    this.#dir = join(root, "quarantine");
  }

  /** Who reads things of a kind again after they were restored, and who removes those that are only marked. */
  own(kind: QuarantineKind, owner: { readAgain?: ReadAgain; discard?: Discard }): void {
    this.#owners.set(kind, owner);
  }

  /** Names a thing that can't be read and leaves it where it is. */
  mark({ kind, what, path, reason, hint }: Suspect): QuarantineEntry {
    const entry = {
      ...{ id: `${kind}/${what}`, kind, what, reason, at: new Date().toISOString() },
      ...{ from: relative(this.#root, path), moved: false },
      ...defined({ hint }),
    };
    this.#marks.set(entry.id, entry);
    return entry;
  }

  /** It can be read again, or it is gone. */
  unmark(kind: QuarantineKind, what: string): void {
    this.#marks.delete(`${kind}/${what}`);
  }

  marked(kind: QuarantineKind, what: string): QuarantineEntry | undefined {
    return this.#marks.get(`${kind}/${what}`);
  }

  /** Moves a thing that nothing uses out of the way. Where it can't be moved (a full disk) it is marked. */
  async setAside(suspect: Suspect): Promise<QuarantineEntry> {
    const { kind, what, path, reason } = suspect;
    const at = new Date().toISOString();
    const name = `${what}-${at.replace(/[-:.]/g, "")}`;
    const dir = join(this.#dir, kind, name);
    const from = relative(this.#root, path);
    try {
      await mkdir(dir, { recursive: true, mode: 0o700 });
      const text = `${JSON.stringify({ schema: 1, kind, what, reason, at, from })}\n`;
      // The note comes first: what was moved can always be put back.
      await writeNew(join(dir, NOTE_FILE), text, { survives: "power-loss", mode: 0o600 });
      for (const folder of [dir, dirname(dir), this.#dir]) await sync(folder);
      await rename(path, join(dir, CONTENT));
      for (const folder of [dir, dirname(path)]) await sync(folder);
      return { id: `${kind}/${name}`, kind, what, reason, at, from, moved: true };
    } catch (error) {
      if (await exists(join(dir, CONTENT)))
        return { id: `${kind}/${name}`, kind, what, reason, at, from, moved: true };
      await rm(dir, { recursive: true, force: true }).catch(() => {});
      return this.mark({ ...suspect, reason: `${reason} (not moved: ${(error as Error).message})` });
    }
  }

  /** Where its content is now. */
  placeOf({ id, from, moved }: QuarantineEntry): string {
    return moved ? join(this.#dir, id, CONTENT) : join(this.#root, from);
  }

  /** Those marked and those moved, oldest first. */
  async list(): Promise<QuarantineEntry[]> {
    const moved = await Promise.all(
      QUARANTINE_KINDS.map(async (kind) => {
        const names = await completeEntries(join(this.#dir, kind));
        return Promise.all(names.map((name) => this.#read(kind, name)));
      }),
    );
    return [...this.#marks.values(), ...moved.flat(2).filter((entry) => entry !== null)].sort((a, b) =>
      a.at.localeCompare(b.at),
    );
  }

  /**
   * Puts a thing back where it was and has it read again. @param reference its id, or the unique id of the thing
   * Throws `not-found`; `conflict` when something else has its place, or when it still can't be read.
   */
  async restore(reference: string): Promise<QuarantineEntry> {
    const entry = await this.#get(reference);
    const { kind, what, from } = entry;
    if (entry.moved) await this.#moveBack(entry);
    this.#marks.delete(entry.id);
    await this.#owners.get(kind)?.readAgain?.(entry);
    const again = this.#marks.get(`${kind}/${what}`);
    if (again) {
      const refused = again.hint === undefined ? "still can't be read" : "is not restored";
      throw new EngineError("conflict", `${kind} ${what} ${refused}: ${from} ${again.reason}`, {
        hint: again.hint ?? "repair the file, or use the version of thaw that wrote it",
      });
    }
    return entry;
  }

  /** Deletes a thing for good. Throws `not-found`, `conflict` for a marked one that has no owner to remove it. */
  async remove(reference: string): Promise<QuarantineEntry> {
    const entry = await this.#get(reference);
    if (entry.moved) {
      await rm(join(this.#dir, entry.id), { recursive: true, force: true });
      return entry;
    }
    const discard = this.#owners.get(entry.kind)?.discard;
    if (!discard)
      throw new EngineError(
        "conflict",
        `${entry.kind} ${entry.what} can't be removed, because it is in use at ${entry.from}`,
      );
    await discard(entry);
    this.#marks.delete(entry.id);
    return entry;
  }

  async #moveBack({ id, from }: QuarantineEntry): Promise<void> {
    if (from === "")
      throw new EngineError("conflict", `${id} has no readable note, so its original place is unknown`, {
        hint: `its content is in ${join(this.#dir, id)}; thaw quarantine rm ${id}`,
      });
    const target = join(this.#root, from);
    if (await exists(target))
      throw new EngineError("conflict", `${from} exists again`, {
        hint: `remove that path first, or remove this entry: thaw quarantine rm ${id}`,
      });
    await mkdir(dirname(target), { recursive: true });
    await rename(join(this.#dir, id, CONTENT), target);
    for (const folder of [dirname(target), join(this.#dir, id)]) await sync(folder);
    await rm(join(this.#dir, id), { recursive: true, force: true });
  }

  async #get(reference: string): Promise<QuarantineEntry> {
    const all = await this.list();
    const exact = all.find(({ id }) => id === reference);
    if (exact) return exact;
    const fits = all.filter(({ id, what }) => what === reference || id.startsWith(`${reference}-`));
    if (fits.length === 1 && fits[0]) return fits[0];
    if (fits.length > 1)
      throw new EngineError(
        "usage",
        `${reference} fits ${fits.length} entries: ${fits.map(({ id }) => id).join(", ")}`,
      );
    throw new EngineError("not-found", `there is no quarantine entry ${reference}`, {
      hint: "thaw quarantine ls",
    });
  }

  /** An entry on disk; null for one whose content was never moved. */
  async #read(kind: QuarantineKind, name: string): Promise<QuarantineEntry | null> {
    const dir = join(this.#dir, kind, name);
    const found = await stat(join(dir, CONTENT)).catch(() => null);
    if (!found) return null;
    const id = `${kind}/${name}`;
    const read = await readRecord(join(dir, NOTE_FILE), note);
    if (read.state === "ok" && isInside(read.value.from)) return { ...read.value, id, kind, moved: true };
    const reason = "has no readable note";
    return { id, kind, what: name, reason, at: found.ctime.toISOString(), from: "", moved: true };
  }
}

/** The line of `thaw doctor`. */
export function quarantineProbe(entries: readonly QuarantineEntry[]): Probe {
  const about = { name: "quarantine", fatal: false };
  if (entries.length === 0) return { ...about, state: "ok", detail: "all state can be read" };
  const named = entries.slice(0, 5).map(({ id, from, reason }) => `${id} (${from} ${reason})`);
  const more = entries.length > named.length ? `, and ${entries.length - named.length} more` : "";
  const detail = `${entries.length} can't be read and ${entries.length === 1 ? "is" : "are"} kept: ${named.join(", ")}${more}`;
  return { ...about, state: "warning", detail, hint: "thaw quarantine ls" };
}

/** A path of a note may only lead to a place below the state folder. */
function isInside(path: string): boolean {
  return path !== "" && !isAbsolute(path) && normalize(path).split("/")[0] !== "..";
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null)) !== null;
}
