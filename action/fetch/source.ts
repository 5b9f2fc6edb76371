/** Where the code comes from, as the inputs `repository`, `ref` and `token` say it. */
import { GitHubError } from "../../github/error.ts";
import { nameOf, parseRepository } from "../../github/remote.ts";
import { quote } from "../fields.ts";
import type { InputReader } from "../reader.ts";
import { parseReference, type WantedReference } from "./reference.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** A repository that is fetched inside the sandbox. */
export interface CodeSource {
  /** `https://HOST`. */
  server: string;
  /** `OWNER/NAME`. */
  repository: string;
  wanted: WantedReference;
  /** Goes to `server` and nowhere else. */
  token: string | undefined;
}

const LOOPBACK = /^(localhost|\[::1\]|127(\.\d{1,3}){3})$/;
const MAX_TOKEN_CHARS = 4096;

/** The server that the job is of. @throws RangeError where the token could be read on its way */
function parseServer(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isSafe = url?.protocol === "https:" || (url?.protocol === "http:" && LOOPBACK.test(url.hostname));
  if (url === undefined || !isSafe || url.username !== "" || url.password !== "" || url.search !== "")
    throw new RangeError(`GITHUB_SERVER_URL is ${quote(text)}, which is not https://HOST`);
  return `${url.origin}${url.pathname}`.replace(/\/+$/, "");
}

function parseName(text: string): string {
  const given = text.trim();
  try {
    const name = nameOf(parseRepository(given));
    if (name === given) return name;
  } catch (error) {
    if (!(error instanceof GitHubError)) throw error;
  }
  throw new RangeError(`${quote(given)} is not OWNER/NAME (without the server and .git)`);
}

function parseToken(text: string): string {
  if (text.trim().length <= MAX_TOKEN_CHARS && /^[\x21-\x7e]+$/.test(text.trim())) return text.trim();
  throw new RangeError("not a valid token: a token is one line of visible ASCII characters");
}

/** A token as it is written in requests: what no text of a server may show. The last one is HTTP's Basic credentials. */
export function formsOfToken(token: string | undefined): string[] {
  if (token === undefined) return [];
  // The user's name is what actions/checkout sends; GitHub looks at the token only.
  return [token, Buffer.from(`x-access-token:${token}`).toString("base64")];
}

/** The event's commit is the repository's own. */
function defaultReference(repository: string, env: Environment): WantedReference {
  const isOwn = repository.toLowerCase() === env.GITHUB_REPOSITORY?.toLowerCase();
  return parseReference((isOwn && env.GITHUB_SHA) || "HEAD");
}

/** Notes every mistake. Undefined: nothing is fetched, or there are mistakes. */
export function readCodeSource(reader: InputReader, env: Environment): CodeSource | undefined {
  reader.exclude(
    "repository",
    ["workspace", "exclude"],
    "the sandbox fetches the code, and no folder is copied",
  );
  reader.exclude("repository", ["sandbox"], "the step that creates the sandbox fetches the code");
  reader.require("ref", ["repository"]);
  reader.require("token", ["repository"]);
  const wanted = reader.read("ref", parseReference);
  const token = reader.read("token", parseToken);
  return reader.read("repository", (text) => {
    const repository = parseName(text);
    const server = parseServer(env.GITHUB_SERVER_URL || "https://github.com");
    return { server, repository, wanted: wanted ?? defaultReference(repository, env), token };
  });
}
