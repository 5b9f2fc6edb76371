/** What `ref` names: a commit by its id, or a name that the server is asked for. */
import { ThawError } from "../../client/index.ts";
import { quote } from "../fields.ts";
import type { UploadPack } from "./upload-pack.ts";

export type WantedReference = { commit: string } | { name: string };

const COMMIT = /^([0-9a-f]{40}|[0-9a-f]{64})$/i;
const MAX_NAME_CHARS = 255;
/** git-check-ref-format(1). */
const NOT_IN_NAMES = /[\s\p{Cc}~^:?*[\\]|\.\.|@\{|\/\/|^[-/.]|\/\.|[/.]$|\.lock(\/|$)/u;

/** @throws RangeError for what is no name of a reference */
export function parseReference(text: string): WantedReference {
  const name = text.trim();
  if (COMMIT.test(name)) return { commit: name.toLowerCase() };
  if (name.length <= MAX_NAME_CHARS && name !== "@" && !NOT_IN_NAMES.test(name)) return { name };
  throw new RangeError(`${quote(name)} is not a commit id, a branch, a tag or refs/pull/N/head`);
}

/** A name as git reads it; of a branch and a tag of one name it is the branch, as with actions/checkout. */
function candidatesFor(name: string): string[] {
  if (name === "HEAD" || name.startsWith("refs/")) return [name];
  return [`refs/heads/${name}`, `refs/tags/${name}`];
}

/** The commit that is wanted, and the full name that led to it. @throws ThawError `not-found` with what may be meant */
export async function resolve(
  wanted: WantedReference,
  from: UploadPack,
  repository: string,
): Promise<{ commit: string; name: string | undefined }> {
  if ("commit" in wanted) return { commit: wanted.commit, name: undefined };
  const candidates = candidatesFor(wanted.name);
  const references = await from.find(candidates);
  const found = candidates
    .map((candidate) => references.find(({ name }) => name === candidate))
    .find((one) => one !== undefined);
  if (found !== undefined) return { commit: found.commit, name: found.target ?? found.name };
  throw new ThawError("not-found", `${repository} has no ${wanted.name}`, { hint: hintFor(wanted.name) });
}

function hintFor(name: string): string {
  if (name === "HEAD") return "the repository or its default branch is empty: give `ref`";
  if (/^refs\/pull\/\d+\/merge$/.test(name))
    return "a pull request that is closed or has conflicts has no merge commit: use refs/pull/N/head";
  if (/^[0-9a-f]{4,63}$/i.test(name)) return "give the full commit id";
  return "`ref` is a full commit id, a branch, a tag or refs/pull/N/head";
}
