/** Tags of a repository, page by page, and of what kind their artifacts are. */
import { ThawError } from "../../errors.ts";
import { readBytes } from "./body.ts";
import type { RegistryHttp } from "./http.ts";
import { TAG_PATTERN } from "./name.ts";

const PAGE_TAGS = 100;
const MAX_PAGES = 200;
const MAX_PAGE_BYTES = 1 << 20;

/** Every tag, in the registry's order. @param path `/v2/REPOSITORY`. @throws ThawError */
export async function* listTags(
  http: RegistryHttp,
  path: string,
  signal: AbortSignal,
): AsyncGenerator<string, void> {
  let url: URL | string = `${path}/tags/list?n=${PAGE_TAGS}`;
  const seen = new Set<string>();
  for (let page = 1; ; page++) {
    const answer = await http.ask({ method: "GET", url, expect: [200, 404], push: false, signal });
    const bytes = await readBytes(answer, MAX_PAGE_BYTES).catch((error: unknown) => {
      signal.throwIfAborted();
      throw http.broken(error, "the list of tags was broken off");
    });
    if (answer.statusCode === 404) return;
    for (const tag of tagsOf(bytes)) {
      if (seen.has(tag)) continue;
      seen.add(tag);
      yield tag;
    }
    const next = nextOf(answer.headers.link);
    if (next === undefined) return;
    if (page === MAX_PAGES)
      throw new ThawError("store-corrupt", `${http.name} has more than ${MAX_PAGES} pages of tags`);
    const following = http.resolve(next, answer.url);
    if (following.origin !== answer.url.origin)
      throw new ThawError(
        "store-unreachable",
        `${http.name} continues its list of tags at ${following.origin}`,
      );
    url = following;
  }
}

function tagsOf(bytes: Buffer): string[] {
  try {
    const { tags } = JSON.parse(bytes.toString()) as { tags?: unknown };
    return Array.isArray(tags) ? tags.filter((tag) => typeof tag === "string" && TAG_PATTERN.test(tag)) : [];
  } catch {
    return [];
  }
}

/** The target of `rel="next"` (RFC 8288). */
function nextOf(link: string | string[] | undefined): string | undefined {
  const text = Array.isArray(link) ? link.join(", ") : (link ?? "");
  for (const [, target, parameters = ""] of text.slice(0, 8192).matchAll(/<([^>]*)>((?:\s*;[^,<]*)*)/g))
    if (/;\s*rel\s*=\s*"?(?:[^";]*\s)?next\b/i.test(parameters)) return target;
  return undefined;
}
