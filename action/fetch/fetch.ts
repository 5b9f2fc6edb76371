/**
 * Code of a repository, as a git checkout in the guest. This process asks the server for one commit's pack and passes the bytes on to git in
 * the guest, unread: nothing of the repository is opened, written or run on this host, and the guest has no way to the server.
 */
import { type SandboxInfo, sendEntries, type Thaw, ThawError, workspacePath } from "../../client/index.ts";
import { quote } from "../fields.ts";
import { resolve } from "./reference.ts";
import { RepositoryHttp } from "./repository-http.ts";
import type { CodeSource } from "./source.ts";
import { type Pack, UploadPack } from "./upload-pack.ts";

/** All of a fetch. */
const DEADLINE_MS = 15 * 60_000;
/** What is passed on is held nowhere; the guest's disk is the nearer limit. */
const MAX_PACK_BYTES = 4 * 2 ** 30;
const MAX_SAID_CHARS = 2000;
/** The script's exit code where there is no git. */
const NO_GIT = 71;

/** What was fetched. */
export interface Fetched {
  repository: string;
  /** The full name of what was asked for; undefined: the commit was. */
  reference: string | undefined;
  commit: string;
  /** Of the pack. */
  bytes: number;
  /** Without the time in which the sandbox was waited for. */
  ms: number;
}

/** A commit that the server has, to be sent into a sandbox once. */
export interface FoundCode extends AsyncDisposable {
  sendTo(sandbox: SandboxInfo, options: { client: Thaw; user: string | undefined }): Promise<Fetched>;
}

/** git in the guest: the pack from stdin, the commit checked out. Its configuration is the guest's own. */
const SCRIPT = `set -e
command -v git >/dev/null || exit ${NO_GIT}
cd "$1"; commit=$2; url=$4
rm -rf .git
if [ "$3" = sha1 ]; then git init -q --template= .; else git init -q --template= --object-format="$3" .; fi
git config remote.origin.url "$url"
shift 4
[ $# -eq 0 ] || printf '%s\\n' "$@" >.git/shallow
git index-pack --stdin >/dev/null
[ "$(git rev-parse -q --verify "$commit^{commit}")" = "$commit" ] || { echo "$commit is not a commit" >&2; exit 1; }
git checkout -q --force --detach "$commit"`;

/** Finds the commit. @throws ThawError as the server says it; `timeout` */
export async function findCode(source: CodeSource, given: AbortSignal): Promise<FoundCode> {
  const started = performance.now();
  const { server, repository, wanted, token } = source;
  const deadline = AbortSignal.timeout(DEADLINE_MS);
  const signal = AbortSignal.any([given, deadline]);
  const http = new RepositoryHttp({ server, repository, token });
  const inTime = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      given.throwIfAborted();
      if (!deadline.aborted) throw error;
      throw new ThawError("timeout", `${http.name} was not fetched within ${DEADLINE_MS / 60_000} min`);
    }
  };
  try {
    const { from, commit, name } = await inTime(async () => {
      const from = await UploadPack.open(http, signal);
      return { from, ...(await resolve(wanted, from, http.name)) };
    });
    const foundMs = performance.now() - started;
    return {
      sendTo: (sandbox, { client, user }) =>
        inTime(async () => {
          const sending = performance.now();
          const pack = await from.fetch(commit, { maxBytes: MAX_PACK_BYTES });
          const argv = [workspacePath, commit, from.format, `${server}/${repository}`, ...pack.shallow];
          const bytes = await checkOut(pack, sandbox, { client, user, argv, signal });
          return { repository, reference: name, commit, bytes, ms: foundMs + performance.now() - sending };
        }),
      [Symbol.asyncDispose]: () => http[Symbol.asyncDispose](),
    };
  } catch (error) {
    await http[Symbol.asyncDispose]();
    throw error;
  }
}

/** Runs git in the guest. @returns bytes of the pack */
async function checkOut(
  pack: Pack,
  { id, snapshot }: SandboxInfo,
  options: { client: Thaw; user: string | undefined; argv: string[]; signal: AbortSignal },
): Promise<number> {
  const { client, argv, signal } = options;
  const machine = client.sandboxes.at(id);
  const user = options.user ?? (await client.snapshots.get(snapshot, { signal })).defaults.user;
  await sendEntries(machine.files, () => [], { path: workspacePath, user, signal });
  const exec = await machine.start(["sh", "-c", SCRIPT, "thaw", ...argv], {
    ...{ user, stdin: true, timeoutMs: DEADLINE_MS, env: { LC_ALL: "C" }, signal },
  });
  let said = "";
  const decoder = new TextDecoder();
  const connection = await exec.attach({
    ...{ stdin: true, signal },
    stderr: (chunk) => {
      said = (said + decoder.decode(chunk, { stream: true })).slice(-MAX_SAID_CHARS);
    },
  });
  try {
    let isOver = false;
    const ended = connection.result.finally(() => {
      isOver = true;
    });
    ended.catch(() => {});
    let bytes = 0;
    for await (const chunk of pack.data) {
      // git may have given up: the disk may be full.
      if (isOver) break;
      bytes += chunk.length;
      await connection.writeStdin(chunk);
    }
    connection.endStdin();
    const { exit, error } = await ended;
    if (error !== null) throw ThawError.fromApi({ error }, "git can't be run in the sandbox");
    if (exit?.code !== 0) throw explain(exit?.code ?? null, said);
    return bytes;
  } finally {
    connection.close();
  }
}

function explain(code: number | null, said: string): ThawError {
  if (code === NO_GIT)
    return new ThawError("unsupported", "the sandbox has no git, which `repository` needs", {
      hint: "use a template with git: the shipped templates have it; in your own template: packages: [git]",
    });
  const last = said.trim().split("\n").slice(-3).join("; ");
  return new ThawError(
    "conflict",
    `git in the sandbox could not check the code out: ${quote(last || `exit ${code}`)}`,
    {
      hint: "a large repository needs a template with a larger disk",
    },
  );
}
