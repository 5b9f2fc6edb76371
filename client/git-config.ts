import { runGit } from "./git.ts";

/** Keys that say how the repository is laid out, what it is called elsewhere, and who commits. None of them can run anything. */
const kept = [
  /^core\.(repositoryformatversion|filemode|bare|logallrefupdates|ignorecase|precomposeunicode|symlinks|autocrlf|eol|safecrlf|sparsecheckout|sparsecheckoutcone|abbrev|quotepath)$/,
  /^core\.worktree$/,
  /^extensions\.(objectformat|refstorage|noop|partialclone)$/,
  /^remote\..*\.(url|pushurl|fetch|promisor|partialclonefilter|tagopt)$/s,
  /^branch\..*\.(remote|merge|rebase|pushremote|description)$/s,
  /^submodule\..*\.(url|active|branch|update|path)$/s,
  /^user\.(name|email)$/,
];

/** Takes user and password out of a URL; the user of ssh is no secret and stays. */
export function stripCredentials(url: string): string {
  return url.replace(/^([a-z][a-z0-9+.-]*:\/\/)([^/?#]*)@/i, (_whole, scheme: string, user: string) => {
    if (!/^(ssh|git\+ssh|ssh\+git):/i.test(scheme)) return scheme;
    return `${scheme}${user.split(":")[0]}@`;
  });
}

function quote(value: string): string {
  const escaped = value
    .replaceAll("\\", "\\\\")
    .replaceAll('"', '\\"')
    .replaceAll("\n", "\\n")
    .replaceAll("\t", "\\t");
  return `"${escaped}"`;
}

function writeSection(key: string): { section: string; name: string } {
  const first = key.indexOf(".");
  const last = key.lastIndexOf(".");
  const name = key.slice(last + 1);
  if (first === last) return { section: `[${key.slice(0, first)}]`, name };
  const sub = key
    .slice(first + 1, last)
    .replaceAll("\\", "\\\\")
    .replaceAll('"', '\\"');
  return { section: `[${key.slice(0, first)} "${sub}"]`, name };
}

/** Whether a setting may be seen by a guest, and still means something there. */
function isKept(key: string, value: string, moved: boolean): boolean {
  if (moved && (key === "core.worktree" || key === "core.bare")) return false;
  if (key === "core.worktree" && value.startsWith("/")) return false;
  return kept.some((pattern) => pattern.test(key));
}

/**
 * What of a git configuration a guest may see: no credentials, headers, helpers, includes, aliases, hooks or filters.
 * @param listing `git config --list -z` of the file.
 * @param moved the repository will lie elsewhere than here: settings that say where it is are dropped.
 */
export function cleanGitConfig(listing: string, moved = false): string {
  const lines: string[] = [];
  let current = "";
  for (const item of listing.split("\0")) {
    const at = item.indexOf("\n");
    const key = at < 0 ? item : item.slice(0, at);
    if (key === "") continue;
    const value = at < 0 ? "true" : item.slice(at + 1);
    if (!isKept(key, value, moved)) continue;
    const { section, name } = writeSection(key);
    if (section !== current) lines.push(section);
    current = section;
    lines.push(`\t${name} = ${quote(/url$/.test(name) ? stripCredentials(value) : value)}`);
  }
  return lines.length === 0 ? "" : `${lines.join("\n")}\n`;
}

/** Reads a configuration file and cleans it; undefined when git can't read it. */
export async function readCleanGitConfig(
  file: string,
  options: { moved?: boolean; signal?: AbortSignal | undefined } = {},
): Promise<Buffer | undefined> {
  const answer = await runGit(
    "/",
    ["config", "--file", file, "--no-includes", "--list", "-z"],
    options.signal,
  );
  if ("failed" in answer) return undefined;
  return Buffer.from(cleanGitConfig(answer.output.toString("utf8"), options.moved));
}
