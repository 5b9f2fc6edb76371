import { showPath } from "./format.ts";

/** Names that a note shows. */
const SHOWN_FILES = 5;
const SHOWN_NAMES = 3;

/**
 * Attributes that the system gives to files, as SELinux' labels, NFS' access lists and overlayfs' marks: a copy gets those of its new
 * place.
 */
const OWN = /^(security\.(?!capability$)|system\.(?!posix_acl_)|trusted\.overlay\.|user\.overlay\.)/;

/** The names that a person may miss. */
function missed(names: readonly string[]): string[] {
  return names.filter((name) => !OWN.test(name));
}

/** Files whose extended attributes a copy does not have. Holds the first few and counts the others: there may be millions. */
export class LostAttributes {
  readonly #shown: string[] = [];
  #count = 0;

  /** @param path as it is shown, raw bytes. @param names of all its attributes. */
  add(path: Uint8Array, names: readonly string[]): void {
    const lost = missed(names);
    if (lost.length === 0 || ++this.#count > SHOWN_FILES) return;
    const more = lost.length > SHOWN_NAMES ? ` and ${lost.length - SHOWN_NAMES} more` : "";
    const list = lost.slice(0, SHOWN_NAMES).map((name) => showPath(Buffer.from(name)));
    this.#shown.push(`${showPath(path)} (${list.join(", ")}${more})`);
  }

  /** One line for people, safe for a terminal; undefined when nothing was lost. */
  describe(): string | undefined {
    if (this.#count === 0) return undefined;
    const more = this.#count > SHOWN_FILES ? ` and ${this.#count - SHOWN_FILES} more` : "";
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
