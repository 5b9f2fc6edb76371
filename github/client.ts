/** A client of GitHub's API. octokit is loaded when the first one is made. */
import type { Octokit } from "@octokit/rest";
import type { z } from "zod";
import { GitHubError } from "./error.ts";
import { translateRefusal } from "./translate.ts";

export type GitHub = Octokit;

/** Owner and name of a repository. */
export interface RepositoryName {
  owner: string;
  repo: string;
}

export interface GitHubOptions {
  /** `https://api.github.com`, or `https://HOST/api/v3` of an Enterprise Server. */
  apiUrl: string;
  /** Without one, only public repositories, 60 requests an hour. */
  token?: string | undefined;
  signal?: AbortSignal | undefined;
}

interface RequestFailure {
  status: number;
  message: string;
  response?: { headers: Record<string, string | number | undefined>; data?: unknown };
}

function isRequestFailure(error: unknown): error is RequestFailure & Error {
  return error instanceof Error && typeof (error as { status?: unknown }).status === "number";
}

function messageOf({ message, response }: RequestFailure): string {
  const said = (response?.data as { message?: unknown } | undefined)?.message;
  return typeof said === "string" ? said : message;
}

/** Makes a client whose failures are GitHubError. */
export async function connectGitHub({ apiUrl, token, signal }: GitHubOptions): Promise<GitHub> {
  const [{ Octokit }, { makeFetch }] = await Promise.all([import("@octokit/rest"), import("./fetch.ts")]);
  const { origin } = new URL(apiUrl);
  const silent = (): void => {};
  const octokit = new Octokit({
    baseUrl: apiUrl.replace(/\/$/, ""),
    ...(token === undefined ? {} : { auth: token }),
    userAgent: "thaw",
    request: { fetch: makeFetch({ origin, signal }) },
    log: { debug: silent, info: silent, warn: silent, error: silent },
  });
  octokit.hook.error("request", (error, { method, url, baseUrl, ...parameters }) => {
    let inner: unknown = error;
    while (inner instanceof Error && !(inner instanceof GitHubError) && inner.cause instanceof Error)
      inner = inner.cause;
    if (inner instanceof GitHubError) throw inner;
    signal?.throwIfAborted();
    if (!isRequestFailure(error)) throw error;
    const path = url
      .replace(baseUrl, "")
      .replace(/\{(\w+)\}/g, (_, name: string) => String(parameters[name] ?? name));
    throw translateRefusal({
      request: `${method} ${path.split("?")[0]}`,
      ...{ status: error.status, headers: error.response?.headers ?? {} },
      ...{ message: messageOf(error), hasToken: token !== undefined },
    });
  });
  return octokit;
}

/** Reads an answer. @throws GitHubError when it has another shape than GitHub documents. */
export function readAnswer<T extends z.ZodType>(schema: T, data: unknown, what: string): z.infer<T> {
  const read = schema.safeParse(data);
  if (read.success) return read.data;
  const [issue] = read.error.issues;
  const where = issue === undefined ? "" : `: ${issue.path.join(".")}: ${issue.message}`;
  throw new GitHubError(
    "github-unreachable",
    `GitHub's answer about ${what} is not in the documented format${where}`,
  );
}

const PAGE = 100;

/**
 * Items of the pages that `list` answers with, page after page, at most `pages` of 100. What can't be read as an item fails it all.
 * @param list asks for one page; octokit's `rest.*.list*`
 */
export async function* listPages<T extends z.ZodType>(options: {
  schema: T;
  what: string;
  pages: number;
  list: (page: {
    per_page: number;
    page: number;
  }) => Promise<{ data: unknown; headers: { link?: string | undefined } }>;
}): AsyncGenerator<z.infer<T>, void> {
  const { schema, what, pages, list } = options;
  for (let page = 1; page <= pages; page++) {
    const { data, headers } = await list({ per_page: PAGE, page });
    const items = Array.isArray(data) ? data : Object.values((data ?? {}) as object).find(Array.isArray);
    if (!Array.isArray(items))
      throw new GitHubError("github-unreachable", `GitHub's answer about ${what} is not a list`);
    for (const item of items.slice(0, PAGE)) yield readAnswer(schema, item, what);
    if (!/rel="next"/.test(headers.link ?? "")) return;
  }
}
