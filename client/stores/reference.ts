/** Names of what is in a store: `oci:HOST[:PORT]/REPOSITORY[:TAG]`, `dir:PATH[:TAG]`, or a path. */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { ThawError } from "../errors.ts";

export type StoreReference =
  | { kind: "oci"; registry: string; repository: string; tag: string | undefined }
  | { kind: "path"; path: string; tag: string | undefined };

const tagPattern = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
const digestPattern = /^sha256:[0-9a-f]{64}$/;
const registryPattern = /^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?)(:[0-9]{1,5})?$/;
const repositoryPattern = /^[a-z0-9]+([._-]+[a-z0-9]+)*(\/[a-z0-9]+([._-]+[a-z0-9]+)*)*$/;
const example = "oci:registry.example/failures:TAG, dir:/path or ./path";

/** Whether a word names something in a store, rather than something on the daemon's host. */
export function isStoreReference(word: string): boolean {
  return /^(oci:[^/]+\/|dir:|\.{0,2}\/)/.test(word);
}

/** @throws ThawError `usage`. */
export function parseStoreReference(word: string): StoreReference {
  if (word.startsWith("oci:")) return parseOci(word);
  const path = word.startsWith("dir:") ? word.slice("dir:".length) : word;
  if (path === "" || /^[a-z]+:\/\//.test(path))
    throw new ThawError("usage", `${word} names no store`, { hint: example });
  const colon = path.lastIndexOf(":");
  const tag = colon < 0 ? "" : path.slice(colon + 1);
  if (!tagPattern.test(tag) || existsSync(path)) return { kind: "path", path: resolve(path), tag: undefined };
  return { kind: "path", path: resolve(path.slice(0, colon)), tag };
}

function parseOci(word: string): StoreReference {
  const rest = word.slice("oci:".length);
  const slash = rest.indexOf("/");
  const registry = rest.slice(0, slash);
  const [, repository = "", digest, tag] = /^([^:@]*)(?:@(.*)|:([^@]*))?$/.exec(rest.slice(slash + 1)) ?? [];
  const named = digest ?? tag;
  if (
    slash < 0 ||
    !registryPattern.test(registry) ||
    !repositoryPattern.test(repository) ||
    (digest !== undefined && !digestPattern.test(digest)) ||
    (tag !== undefined && !tagPattern.test(tag))
  )
    throw new ThawError("usage", `${word} is not oci:HOST[:PORT]/REPOSITORY[:TAG]`, { hint: example });
  return { kind: "oci", registry, repository, tag: named };
}

/** Whether a registry is this host's own: it is spoken to in plain HTTP. */
export function isLoopback(registry: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/.test(registry);
}
