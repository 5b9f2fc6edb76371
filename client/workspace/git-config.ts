/** A setting: its key with section and name in lower case, e.g. `remote.Origin.url`; text is latin1, a character for each byte. */
export interface GitSetting {
  key: string;
  value: string;
}

/** Keys that say how the repository is laid out, what it is called elsewhere, who commits, and how differences are shown. */
const KEPT = [
  /^core\.(repositoryformatversion|filemode|bare|logallrefupdates|ignorecase|precomposeunicode|symlinks|autocrlf|eol|safecrlf|sparsecheckout|sparsecheckoutcone|abbrev|quotepath|worktree)$/,
  /^extensions\.[a-z-]+$/,
  /^index\.(version|sparse|skiphash)$/,
  /^status\.[a-z]+$/,
  /^diff\.(renames|renamelimit|ignoresubmodules|submodule|algorithm|noprefix|mnemonicprefix)$/,
  /^remote\..*\.(url|pushurl|fetch|promisor|partialclonefilter|tagopt)$/s,
  /^branch\..*\.(remote|merge|rebase|pushremote|description)$/s,
  /^submodule\..*\.(url|active|branch|update|path|ignore)$/s,
  /^user\.(name|email)$/,
];

/**
 * What makes git take files for unchanged after they were copied: their times of change, inodes and owners are others in the guest, their
 * times of modification and sizes are not.
 */
const ADDED: GitSetting[] = [
  { key: "core.trustctime", value: "false" },
  { key: "core.checkstat", value: "minimal" },
];

/** A syntax error. */
export class GitConfigError extends Error {}

/**
 * Reads git's configuration syntax (git-config(1), "Syntax"). Nothing is included, and nothing is run.
 * @throws GitConfigError with the line.
 */
export function parseGitConfig(content: Buffer): GitSetting[] {
  const text = content
    .toString("latin1")
    .replace(/^\xef\xbb\xbf/, "")
    .replaceAll("\r\n", "\n");
  return new ConfigParser(text).parse();
}

class ConfigParser {
  readonly #text: string;
  readonly #settings: GitSetting[] = [];
  #at = 0;
  #section: string | undefined;

  constructor(text: string) {
    this.#text = text;
  }

  parse(): GitSetting[] {
    while (this.#at < this.#text.length) {
      const char = this.#text[this.#at] ?? "";
      if (/[ \t\n\v\f\r]/.test(char)) this.#at++;
      else if (char === "#" || char === ";") this.#skipLine();
      else if (char === "[") this.#readSection();
      else this.#readSetting();
    }
    return this.#settings;
  }

  #fail(what: string): never {
    const line = this.#text.slice(0, this.#at).split("\n").length;
    throw new GitConfigError(`line ${line}: ${what}`);
  }

  #skipLine(): void {
    const end = this.#text.indexOf("\n", this.#at);
    this.#at = end < 0 ? this.#text.length : end;
  }

  /** Takes what `pattern` (sticky) matches here. */
  #take(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#text) ?? undefined;
    if (match !== undefined) this.#at = pattern.lastIndex;
    return match;
  }

  #readSection(): void {
    const match = this.#take(/\[([A-Za-z0-9.-]+)(?:[ \t]+"((?:[^"\\\n]|\\[^\n])*)")?\]/y);
    if (match === undefined) this.#fail("not a section");
    const [, name = "", sub] = match;
    this.#section = name.toLowerCase() + (sub === undefined ? "" : `.${sub.replace(/\\(.)/gs, "$1")}`);
  }

  #readSetting(): void {
    const match = this.#take(/([A-Za-z][A-Za-z0-9-]*)[ \t]*/y);
    if (match === undefined) this.#fail("not a setting");
    if (this.#section === undefined) this.#fail("a setting before any section");
    const key = `${this.#section}.${(match[1] ?? "").toLowerCase()}`;
    const next = this.#text[this.#at];
    if (next === "=") {
      this.#at++;
      this.#settings.push({ key, value: this.#readValue() });
    } else if (next === undefined || next === "\n" || next === "#" || next === ";") {
      this.#settings.push({ key, value: "true" });
    } else this.#fail("no = behind a name");
  }

  /** Up to the end of the line; spaces at its ends and comments are no part of it, but for what is in quotes. */
  #readValue(): string {
    let value = "";
    let trimmed = 0;
    let quoted = false;
    this.#take(/[ \t\v\f]*/y);
    for (; this.#at < this.#text.length; this.#at++) {
      const char = this.#text[this.#at] ?? "";
      if (char === "\n") break;
      if (char === '"') {
        quoted = !quoted;
        trimmed = value.length;
      } else if (char === "\\") {
        const escaped = this.#text[++this.#at];
        if (escaped === "\n") continue;
        const byte = { n: "\n", t: "\t", b: "\b", '"': '"', "\\": "\\" }[escaped ?? ""];
        if (byte === undefined) this.#fail("an unknown escape");
        value += byte;
        trimmed = value.length;
      } else if (!quoted && (char === "#" || char === ";")) {
        this.#skipLine();
        break;
      } else {
        value += char;
        if (quoted || !/[ \t\v\f\r]/.test(char)) trimmed = value.length;
      }
    }
    if (quoted) this.#fail("a quote without its end");
    return value.slice(0, trimmed);
  }
}

/** The last value of a key; undefined when it is not set. */
export function lastValue(settings: readonly GitSetting[], key: string): string | undefined {
  return settings.findLast((setting) => setting.key === key)?.value;
}

/** Whether a boolean setting is true. */
export function isTrue(settings: readonly GitSetting[], key: string): boolean {
  const value = lastValue(settings, key);
  return value !== undefined && /^(true|yes|on|[1-9][0-9]*)$/i.test(value);
}

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
function isKept({ key, value }: GitSetting, moved: boolean): boolean {
  if (moved && (key === "core.worktree" || key === "core.bare")) return false;
  if (key === "core.worktree" && value.startsWith("/")) return false;
  // `!command`, and `helper::address`, which runs git-remote-helper
  if (/^submodule\..*\.update$/s.test(key) && !/^(checkout|rebase|merge|none)$/.test(value)) return false;
  if (/url$/.test(key) && /^[^/]*::/.test(value)) return false;
  return KEPT.some((pattern) => pattern.test(key));
}

/**
 * What of a git configuration a guest may see: no credentials, headers, helpers, includes, aliases, hooks or filters, no program.
 * @param options moved: the repository will lie elsewhere than here, so that settings that say where it is are dropped. extra: added.
 */
export function cleanGitConfig(
  settings: readonly GitSetting[],
  options: { moved?: boolean; extra?: readonly GitSetting[] } = {},
): Buffer {
  const lines: string[] = [];
  let current = "";
  const sent = settings.filter((setting) => isKept(setting, options.moved ?? false));
  for (const { key, value } of [...sent, ...ADDED, ...(options.extra ?? [])]) {
    const { section, name } = writeSection(key);
    if (section !== current) lines.push(section);
    current = section;
    lines.push(`\t${name} = ${quote(/url$/.test(name) ? stripCredentials(value) : value)}`);
  }
  return Buffer.from(`${lines.join("\n")}\n`, "latin1");
}
