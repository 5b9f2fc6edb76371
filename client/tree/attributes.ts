import { showPath } from "./format.ts";

/** Names that a note shows. */
const shownFiles = 5;
const shownNames = 3;

/**
 * Attributes that the system gives to files, as SELinux' labels, NFS' access lists and overlayfs' marks: a copy gets those of its new
 * place.
 */
const own = /^(security\.(?!capability$)|system\.(?!posix_acl_)|trusted\.overlay\.|user\.overlay\.)/;

/** The names that a person may miss. */
function missed(names: readonly string[]): string[] {
  return names.filter((name) => !own.test(name));
}

/** Files whose extended attributes a copy does not have. Holds the first few and counts the others: there may be millions. */
export class LostAttributes {
  readonly #shown: string[] = [];
  #count = 0;

  /** @param path as it is shown, raw bytes. @param names of all its attributes. */
  add(path: Uint8Array, names: readonly string[]): void {
    const lost = missed(names);
    if (lost.length === 0 || ++this.#count > shownFiles) return;
    const more = lost.length > shownNames ? ` and ${lost.length - shownNames} more` : "";
    const list = lost.slice(0, shownNames).map((name) => showPath(Buffer.from(name)));
    this.#shown.push(`${showPath(path)} (${list.join(", ")}${more})`);
  }

  /** One line for people, safe for a terminal; undefined when nothing was lost. */
  describe(): string | undefined {
    if (this.#count === 0) return undefined;
    const more = this.#count > shownFiles ? ` and ${this.#count - shownFiles} more` : "";
    return `extended attributes are not copied: ${this.#shown.join(", ")}${more}`;
  }
}

/** Splits a list of names, each ended by a NUL. */
export function splitNames(list: Buffer): string[] {
  return list
    .toString("utf8")
    .split("\0")
    .filter((name) => name !== "");
}
