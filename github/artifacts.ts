/** Artifacts of workflow runs: found by name, and fetched from the storage that GitHub leads to. */
import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { z } from "zod";
import { type GitHub, listPages, type RepositoryName } from "./client.ts";
import { GitHubError } from "./error.ts";
import { foreignId, foreignText } from "./text.ts";

const artifact = z
  .object({
    id: foreignId,
    name: foreignText,
    size_in_bytes: z.int().nonnegative(),
    expired: z.boolean(),
    expires_at: foreignText.nullable(),
    digest: foreignText.nullish(),
  })
  .transform(({ id, name, size_in_bytes, expired, expires_at, digest }) => ({
    ...{ id, name, expired, bytes: size_in_bytes },
    expiresAt: expires_at,
    /** `sha256:` and hex digits. */
    digest: digest ?? null,
  }));
export type Artifact = z.infer<typeof artifact>;

const pages = 10;

/** The newest artifact of that name; undefined when the run has none. @throws GitHubError */
export async function findArtifact(
  github: GitHub,
  repository: RepositoryName,
  { run, name }: { run: number; name: string },
): Promise<Artifact | undefined> {
  const artifacts = listPages({
    ...{ schema: artifact, what: "artifacts", pages },
    list: (page) =>
      github.rest.actions.listWorkflowRunArtifacts({ ...repository, run_id: run, name, ...page }),
  });
  let newest: Artifact | undefined;
  for await (const one of artifacts) if (one.name === name && one.id > (newest?.id ?? 0)) newest = one;
  return newest;
}

/**
 * Fetches an artifact into a file that is not there yet. GitHub leads to a storage elsewhere by an address that is good for a minute; the token is not
 * sent there.
 * @throws GitHubError: `status` 410 when the artifact has expired; the file is then incomplete or not there
 */
export async function downloadArtifact(
  github: GitHub,
  repository: RepositoryName,
  { id, name, bytes, digest }: Artifact,
  { file, signal }: { file: string; signal: AbortSignal },
): Promise<void> {
  const { headers } = await github.rest.actions.downloadArtifact({
    ...{ ...repository, artifact_id: id, archive_format: "zip" },
    request: { redirect: "manual" },
  });
  const [{ fetch }, { isLoopback, makeDispatcher }] = await Promise.all([
    import("undici"),
    import("./fetch.ts"),
  ]);
  const api = new URL(String(github.request.endpoint.DEFAULTS.baseUrl));
  const url = parseStorage(headers.location, (storage) => isLoopback(storage) && isLoopback(api));
  const no = (why: string): GitHubError =>
    new GitHubError("github-unreachable", `the artifact ${name} can't be fetched from ${url.host}: ${why}`, {
      hint: "try again",
    });
  const hash = createHash("sha256");
  let received = 0;
  try {
    const response = await fetch(url, {
      ...{ dispatcher: makeDispatcher(url), redirect: "error", signal },
      headers: { "user-agent": "thaw" },
    });
    if (response.status !== 200 || response.body === null) throw no(`it answers ${response.status}`);
    const counted = async function* (chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
      for await (const chunk of chunks) {
        received += chunk.length;
        if (received > bytes) throw no(`it is longer than the ${bytes} bytes that GitHub names`);
        hash.update(chunk);
        yield chunk;
      }
    };
    await pipeline(response.body, counted, createWriteStream(file, { flags: "wx", mode: 0o600 }));
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof GitHubError) throw error;
    const { message, cause } = error as Error;
    throw no(cause instanceof Error ? cause.message : message);
  }
  if (received < bytes) throw no(`it ends after ${received} of ${bytes} bytes`);
  if (digest !== null && digest !== `sha256:${hash.digest("hex")}`)
    throw no(`its content does not match GitHub's digest`);
}

/** An address outside of GitHub, by TLS; a test's GitHub on loopback leads to loopback. */
function parseStorage(location: string | undefined, isTest: (url: URL) => boolean): URL {
  const url = location !== undefined && URL.canParse(location) ? new URL(location) : undefined;
  if (url !== undefined && (url.protocol === "https:" || isTest(url))) return url;
  throw new GitHubError("github-unreachable", "GitHub did not say where the artifact is stored");
}
