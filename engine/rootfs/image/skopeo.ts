/** Asks registries through skopeo: its credentials, its mirrors and its policy are those of docker's and podman's files on this host. */
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { paced } from "../../../host/pace.ts";
import { EngineError } from "../../errors.ts";
import { runStep } from "../run.ts";
import type { ImageReference } from "./reference.ts";

/** A registry that sends nothing for so long is taken for gone. `THAW_STORE_TIMEOUT`: other seconds, as for stores. */
const SILENCE_MS = 30_000;
const PULL_TIMEOUT_MS = 60 * 60_000;
const LOOK_EVERY_MS = 500;
/** skopeo's own files beside the blobs. */
const SLACK_BYTES = 8 << 20;
const PASSED_ON =
  /^(HOME|PATH|DOCKER_CONFIG|REGISTRY_AUTH_FILE|XDG_(RUNTIME_DIR|CONFIG_HOME|CACHE_HOME|DATA_HOME)|SSL_CERT_(FILE|DIR)|(https?|no|all)_proxy)$/i;

/** What a registry has under a reference, as it is. Rejects with `not-found`, `store-denied`, `store-unreachable`, `store-corrupt`, `host-not-ready`. */
export function readManifest(of: ImageReference, signal: AbortSignal): Promise<string> {
  return skopeo(of, ["inspect", "--raw", ...tls(of, ""), location(of)], { signal, timeoutMs: silenceMs() });
}

/** The configuration of the image that a reference with a digest names. */
export function readConfig(of: ImageReference, signal: AbortSignal): Promise<string> {
  const words = ["inspect", "--config", "--raw", ...tls(of, ""), location(of)];
  return skopeo(of, words, { signal, timeoutMs: silenceMs() });
}

export interface PullOptions {
  folder: string;
  /** Of all blobs, as the manifest says. */
  bytes: number;
  onBytes(bytes: number): void;
  /** Throws `no-space`. */
  room(bytes: number): Promise<void>;
  signal: AbortSignal;
}

/** Fetches an image into `folder`: each blob, checked, in a file named by the hex digits of its digest. */
export async function pull(of: ImageReference, options: PullOptions): Promise<void> {
  const { folder, bytes, room, signal } = options;
  await room(bytes);
  const watch = new AbortController();
  const look = watchFolder(options, watch);
  try {
    const words = [
      "copy",
      "--quiet",
      "--retry-times",
      "2",
      ...tls(of, "src-"),
      location(of),
      `dir:${folder}`,
    ];
    const either = AbortSignal.any([signal, watch.signal]);
    await skopeo(of, words, { signal: either, timeoutMs: PULL_TIMEOUT_MS, temporary: folder });
  } finally {
    clearInterval(look);
  }
}

/** Aborts `watch` when no more comes, or more than was said. */
function watchFolder({ folder, bytes, onBytes }: PullOptions, watch: AbortController): NodeJS.Timeout {
  const patienceMs = paced(silenceMs());
  let before = -1;
  let since = performance.now();
  return setInterval(async () => {
    const now = await sizeOfFolder(folder);
    if (now > bytes + SLACK_BYTES)
      watch.abort(
        new EngineError("store-corrupt", `the registry sends more than the ${bytes} bytes of the image`),
      );
    if (now !== before) {
      onBytes(now);
      before = now;
      since = performance.now();
    } else if (performance.now() - since > patienceMs)
      watch.abort(
        new EngineError(
          "store-unreachable",
          `the registry sent nothing for ${Math.round(patienceMs / 1000)} s, after ${now} of ${bytes} bytes`,
        ),
      );
  }, LOOK_EVERY_MS);
}

async function sizeOfFolder(folder: string): Promise<number> {
  const names = await readdir(folder).catch(() => []);
  const sizes = names.map(async (name) => (await stat(join(folder, name)).catch(() => null))?.size ?? 0);
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}

function silenceMs(): number {
  return Number(process.env.THAW_STORE_TIMEOUT) * 1000 || SILENCE_MS;
}

function location({ name, tag, digest }: ImageReference): string {
  return `docker://${name}${digest === undefined ? `:${tag}` : `@${digest}`}`;
}

/** A registry on loopback is spoken to in plain HTTP, as stores are. */
function tls({ isLoopback }: ImageReference, prefix: "" | "src-"): string[] {
  return isLoopback ? [`--${prefix}tls-verify=false`] : [];
}

async function skopeo(
  of: ImageReference,
  words: readonly string[],
  { signal, timeoutMs, temporary }: { signal: AbortSignal; timeoutMs: number; temporary?: string },
): Promise<string> {
  const environment: Record<string, string> = {};
  for (const [name, value] of Object.entries(process.env))
    if (PASSED_ON.test(name) && value !== undefined) environment[name] = value;
  if (temporary !== undefined) environment.TMPDIR = temporary;
  // It ends with the daemon.
  const command = ["setpriv", "--pdeathsig", "KILL", "--", "skopeo", ...words] as const;
  try {
    return await runStep(command, { environment, timeoutMs, signal, debianPackage: "skopeo" });
  } catch (error) {
    throw named(error, of, timeoutMs);
  }
}

const REFUSALS = [
  [
    "store-denied",
    /unauthorized|authentication required|access to the resource is denied|forbidden|\b40[13]\b/i,
  ],
  ["not-found", /manifest unknown|name unknown|repository name not known|not found|\b404\b/i],
  [
    "store-corrupt",
    /digest|does not match|unexpected EOF while reading|invalid character|unsupported manifest/i,
  ],
  [
    "store-unreachable",
    /dial |lookup |connection re|no such host|timeout|EOF|tls|x509|http: server|\b(429|5\d\d)\b|too many requests/i,
  ],
] as const;

/** skopeo's last line, in the engine's words. */
function named(error: unknown, { text, registry }: ImageReference, timeoutMs: number): unknown {
  if (!(error instanceof EngineError)) return error;
  if (error.code === "timeout")
    return new EngineError(
      "store-unreachable",
      `${registry} did not answer within ${paced(timeoutMs) / 1000} s`,
    );
  if (error.code !== "build-failed") return error;
  const line = error.details?.findLast((one) => one.trim() !== "") ?? "skopeo failed";
  const said = (/msg="((?:[^"\\]|\\.)*)"/.exec(line)?.[1] ?? line).replace(/\\(.)/g, "$1").slice(0, 600);
  const code = REFUSALS.find(([, pattern]) => pattern.test(said))?.[0] ?? "build-failed";
  const hint =
    code === "store-denied" ? { hint: `thaw login ${registry}, as the user that the daemon runs as` } : {};
  return new EngineError(code, `${text}: ${said}`, { ...hint, cause: error });
}
