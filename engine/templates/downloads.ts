/** Downloads the files that recipes fetch, within the host's network policy, and keeps them by digest. A file with another digest is never kept. */
import { createHash } from "node:crypto";
import { chmod, mkdir, open, readdir, rename, rm, stat, utimes } from "node:fs/promises";
import { isIP } from "node:net";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import type { buildConnector, Dispatcher } from "undici";
import { HOST_NAME } from "../../api/network-rule.ts";
import { isNoSpace } from "../as-engine-error.ts";
import { EngineError } from "../errors.ts";
import { randomId } from "../ids.ts";
import { Egress } from "../network/egress.ts";
import type { HostNetwork } from "../network/host.ts";
import { EffectivePolicy, extended, noNetwork } from "../network/policy.ts";

const MAX_BYTES = 2 ** 30;
const MAX_HOPS = 5;
const DEADLINE_MS = 15 * 60_000;
/** A server may send nothing for this long, before its answer and within it. */
const QUIET_MS = 60_000;
/** The room on the disk is checked again after this many bytes. */
const STRETCH_BYTES = 32 << 20;
/** A download that no build has used for `maxAgeMs` is removed. Beyond `maxBytes`, those used longest ago are removed. */
const KEPT = { maxAgeMs: 7 * 24 * 3_600_000, maxBytes: 2 * 2 ** 30 };

export interface DownloadsContext {
  /** Folder of the downloads. */
  dir: string;
  host: HostNetwork;
  /** Throws `no-space` when there would be less than the host keeps free. */
  needDisk(bytes?: number): Promise<void>;
}

export interface Wanted {
  url: string;
  sha256: string;
}

export class Downloads {
  readonly #context: DownloadsContext;

  constructor(context: DownloadsContext) {
    this.#context = context;
  }

  /**
   * Path of the file. It is there as long as no build has removed it: read it at once.
   * @param allow rules that open addresses which are closed otherwise: the recipe's
   */
  async get(
    { url, sha256 }: Wanted,
    { allow, signal }: { allow: readonly string[]; signal: AbortSignal },
  ): Promise<string> {
    const path = join(this.#context.dir, sha256);
    if ((await stat(path).catch(() => null)) !== null) {
      const now = new Date();
      await utimes(path, now, now).catch(() => {});
      return path;
    }
    await this.#prune();
    const late = AbortSignal.timeout(DEADLINE_MS);
    const draft = join(this.#context.dir, `.${randomId()}`);
    try {
      await mkdir(this.#context.dir, { recursive: true });
      await this.#download(url, { sha256, draft, allow, signal: AbortSignal.any([signal, late]) });
      await chmod(draft, 0o444);
      await rename(draft, path);
      return path;
    } catch (error) {
      if (signal.aborted) throw new EngineError("cancelled", "the build was cancelled", { cause: error });
      if (late.aborted) throw failed(url, `it took longer than ${DEADLINE_MS / 60_000} minutes`, error);
      if (isNoSpace(error)) throw noRoom(url, error);
      throw error instanceof EngineError ? error : failed(url, reasonOf(error), error);
    } finally {
      await rm(draft, { force: true });
    }
  }

  async #download(
    url: string,
    how: { sha256: string; draft: string; allow: readonly string[]; signal: AbortSignal },
  ): Promise<void> {
    const { allow, signal } = how;
    // A daemon starts without it.
    const { Agent, request } = await import("undici");
    let at = new URL(url);
    for (let hops = 0; ; hops += 1) {
      const agent = new Agent({ connect: this.#connector(at, allow, signal) });
      using _ended = { [Symbol.dispose]: () => void agent.destroy() };
      const answer = await request(at, {
        ...{ dispatcher: agent, signal, headersTimeout: QUIET_MS, bodyTimeout: QUIET_MS },
        headers: { "user-agent": "thaw", accept: "*/*" },
      });
      const { statusCode, headers, body } = answer;
      if (statusCode >= 300 && statusCode < 400 && typeof headers.location === "string") {
        body.on("error", () => {}).destroy();
        if (hops === MAX_HOPS) throw failed(url, `more than ${MAX_HOPS} redirections`);
        const next = new URL(headers.location, at);
        if (next.protocol !== "https:" && next.protocol !== at.protocol)
          throw failed(url, `it leads from ${at.protocol.slice(0, -1)} to ${next.href}`);
        at = next;
        continue;
      }
      if (statusCode !== 200) {
        body.on("error", () => {}).destroy();
        throw failed(url, `the server answers with status ${statusCode}`);
      }
      await this.#write(url, answer, how);
      return;
    }
  }

  async #write(
    url: string,
    { body, headers }: Dispatcher.ResponseData,
    { sha256, draft }: { sha256: string; draft: string },
  ): Promise<void> {
    const tooLarge = (): EngineError => failed(url, `it has more than ${MAX_BYTES / 2 ** 30} GiB`);
    const said = Number(headers["content-length"] ?? 0);
    try {
      if (said > MAX_BYTES) throw tooLarge();
      await this.#context.needDisk(said);
      const hash = createHash("sha256");
      let bytes = 0;
      await using file = await open(draft, "wx", 0o600);
      for await (const chunk of body as AsyncIterable<Buffer>) {
        const before = bytes;
        bytes += chunk.length;
        if (bytes > MAX_BYTES) throw tooLarge();
        if (Math.floor(before / STRETCH_BYTES) !== Math.floor(bytes / STRETCH_BYTES))
          await this.#context.needDisk(STRETCH_BYTES);
        hash.update(chunk);
        await file.writeFile(chunk);
      }
      const found = hash.digest("hex");
      if (found !== sha256)
        throw new EngineError("build-failed", `${url} has another digest than the template says`, {
          details: [`sha256 of what came: ${found}`, `sha256 in the template: ${sha256}`],
          hint: "if the new content is what you want, change sha256 in the template",
        });
      await file.sync();
    } finally {
      body.on("error", () => {}).destroy();
    }
  }

  /** A name in the recipe may be dialled, its closed addresses only where a rule opens them; the host's maximum counts as for sandboxes. */
  #connector(url: URL, allow: readonly string[], signal: AbortSignal): buildConnector.connector {
    const name = url.hostname.replace(/^\[|\]$/g, "");
    const isTls = url.protocol === "https:";
    const port = Number(url.port) || (isTls ? 443 : 80);
    const own = isIP(name) === 0 && name !== HOST_NAME ? [`${name}:${port}`] : [];
    const { host } = this.#context;
    const egress = new Egress({
      policy: new EffectivePolicy(
        extended(noNetwork(), { allow: [...allow, ...own] }, "template"),
        host.maximum(),
      ),
      log: null,
      resolve: host.resolve,
      upstream: host.upstream,
    });
    return (_options, done) => {
      void egress
        .dial(name, port, signal)
        .then((socket) => {
          if (!isTls) return done(null, socket);
          const servername = isIP(name) === 0 ? { servername: name } : {};
          const tls = connectTls({ socket, ...servername, ALPNProtocols: ["http/1.1"] });
          tls.once("secureConnect", () => done(null, tls));
          tls.once("error", (error) => done(error, null));
        })
        .catch((error: Error) => done(error, null));
    };
  }

  async #prune(): Promise<void> {
    const { dir } = this.#context;
    const names = (await readdir(dir).catch(() => [])).filter((name) => !name.startsWith("."));
    const found = await Promise.all(
      names.map(async (name) => ({ name, stats: await stat(join(dir, name)).catch(() => null) })),
    );
    let bytes = 0;
    for (const { name, stats } of found.toSorted(
      (a, b) => (b.stats?.mtimeMs ?? 0) - (a.stats?.mtimeMs ?? 0),
    )) {
      bytes += stats?.size ?? 0;
      if (bytes > KEPT.maxBytes || Date.now() - (stats?.mtimeMs ?? 0) > KEPT.maxAgeMs)
        await rm(join(dir, name), { force: true });
    }
  }
}

function failed(url: string, why: string, cause?: unknown): EngineError {
  return new EngineError("build-failed", `${url} could not be fetched: ${why}`, { cause });
}

function noRoom(url: string, cause: unknown): EngineError {
  if (cause instanceof EngineError) return cause;
  const hint = "thaw prune --dry-run; thaw df";
  return new EngineError("no-space", `the disk became full during the download of ${url}`, { hint, cause });
}

/** undici tells what happened in a cause. */
function reasonOf(error: unknown): string {
  const { message, code, cause } = error as Error & { code?: string };
  if (code === "UND_ERR_HEADERS_TIMEOUT" || code === "UND_ERR_BODY_TIMEOUT")
    return `nothing came for ${QUIET_MS / 1000} s`;
  return (cause as Error | undefined)?.message ?? message;
}
