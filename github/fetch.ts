/** HTTP with GitHub's API: one origin, bounded bodies, proxies, deadlines. */
import { setTimeout as sleep } from "node:timers/promises";
import { Agent, type Dispatcher, EnvHttpProxyAgent, fetch as undiciFetch } from "undici";
import { GitHubError } from "./error.ts";

const connectMs = 10_000;
const silenceMs = 30_000;
const maxBodyBytes = 16 << 20;
const RETRIED = new Set([500, 502, 503, 504]);
const waitsMs = [300, 1200];

export interface FetchOptions {
  /** Origin of the API. The token is sent nowhere else. */
  origin: string;
  signal: AbortSignal | undefined;
}

/** Whether a URL's host is this machine. */
export function isLoopback({ hostname }: URL): boolean {
  return hostname === "localhost" || hostname === "[::1]" || /^127(\.\d{1,3}){3}$/.test(hostname);
}

async function readBody(response: Awaited<ReturnType<typeof undiciFetch>>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    length += chunk.length;
    if (length > maxBodyBytes)
      throw new GitHubError("github-unreachable", `GitHub answered with more than ${maxBodyBytes >> 20} MiB`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function describe(error: unknown): string {
  let deepest = error as Error & { code?: string };
  while (deepest.cause instanceof Error) deepest = deepest.cause;
  return deepest.message || deepest.code || "no answer";
}

/** Connections with deadlines; by the environment's proxy, but for this machine's own servers. */
export function makeDispatcher(to: URL): Dispatcher {
  const limits = { connect: { timeout: connectMs }, headersTimeout: silenceMs, bodyTimeout: silenceMs };
  return isLoopback(to) ? new Agent(limits) : new EnvHttpProxyAgent(limits);
}

/** A `fetch` for octokit. GETs that meet a failure of GitHub's own are tried again, twice. */
export function makeFetch({ origin, signal }: FetchOptions): typeof globalThis.fetch {
  const dispatcher = makeDispatcher(new URL(origin));
  const once = async (url: URL, init: RequestInit): Promise<Response> => {
    try {
      const response = await undiciFetch(url, {
        ...(init as object as Parameters<typeof undiciFetch>[1]),
        ...{ dispatcher, signal: signal ?? null },
      });
      const body = await readBody(response);
      const { status, statusText } = response;
      const headers = [...response.headers].filter(
        ([name]) => !/^(content-encoding|content-length)$/.test(name),
      );
      return new Response([204, 205, 304].includes(status) ? null : body, { status, statusText, headers });
    } catch (error) {
      if (error instanceof GitHubError) throw error;
      signal?.throwIfAborted();
      throw new GitHubError("github-unreachable", `can't reach ${origin}: ${describe(error)}`, {
        hint: "check the network, and GITHUB_API_URL and HTTPS_PROXY where they are set",
        cause: error,
      });
    }
  };
  return async (input, init = {}) => {
    const url = new URL(input instanceof Request ? input.url : input);
    if (url.origin !== origin)
      throw new GitHubError(
        "github-unreachable",
        `GitHub redirects from ${origin} to ${url.origin}, which is not followed`,
      );
    const mayRepeat = (init.method ?? "GET") === "GET";
    for (const waitMs of mayRepeat ? waitsMs : []) {
      const response = await once(url, init);
      if (!RETRIED.has(response.status)) return response;
      await sleep(waitMs, undefined, { signal }).catch(() => signal?.throwIfAborted());
    }
    return once(url, init);
  };
}
