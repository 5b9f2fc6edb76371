import type { Value } from "./value.ts";

/** The entries of `permissions` that let a job write; `write-all` counts as one. */
export function writesOf(permissions: Value | undefined): { at: Value; name: string }[] {
  if (permissions === undefined) return [];
  if (permissions.text?.toLowerCase() === "write-all") return [{ at: permissions, name: "everything" }];
  return permissions.entries
    .filter(({ value }) => value.text?.toLowerCase() === "write")
    .map(({ key, name }) => ({ at: key, name }));
}
