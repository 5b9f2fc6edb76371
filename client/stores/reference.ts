/** Names of what is in a store: `oci:HOST[:PORT]/REPOSITORY[:TAG]`, `dir:PATH[:TAG]`, or a path. */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { ThawError } from "../errors.ts";
import { parseRegistryName, type RegistryName, TAG_PATTERN } from "./registry/name.ts";

export type StoreReference =
  | ({ kind: "oci" } & RegistryName)
  | { kind: "path"; path: string; tag: string | undefined };

const EXAMPLE = "oci:registry.example/failures:TAG, dir:/path or ./path";

/** Whether a word names something in a store, rather than something on the daemon's host. */
export function isStoreReference(word: string): boolean {
  return /^(oci:.*\/|dir:|\.{0,2}\/)/.test(word);
}

/** @throws ThawError `usage`. */
export function parseStoreReference(word: string): StoreReference {
  if (word.startsWith("oci:")) return { kind: "oci", ...parseRegistryName(word) };
  const path = word.startsWith("dir:") ? word.slice("dir:".length) : word;
  if (path === "" || /^[a-z]+:\/\//.test(path))
    throw new ThawError("usage", `${word} names no store`, { hint: EXAMPLE });
  const colon = path.lastIndexOf(":");
  const tag = colon < 0 ? "" : path.slice(colon + 1);
  if (!TAG_PATTERN.test(tag) || existsSync(path))
    return { kind: "path", path: resolve(path), tag: undefined };
  return { kind: "path", path: resolve(path.slice(0, colon)), tag };
}
