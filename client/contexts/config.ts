/** The contexts of this user. Reading is a part of every command, so it does without the package that writes. */
import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { systemCode, ThawError } from "../errors.ts";
import { parseRemote, type RemoteHost, type RemoteSettings } from "./remote.ts";

type Environment = Record<string, string | undefined>;

/** This host, as a context. */
export const localContext = "local";

export interface Contexts {
  /** What commands work on when nothing else is said. */
  current: string;
  /** By name; `local` is not among them. */
  remotes: ReadonlyMap<string, RemoteHost>;
}

/** The folder of thaw's configuration: `THAW_CONFIG`, else `thaw` in `XDG_CONFIG_HOME`. */
export function findConfigFolder(env: Environment = process.env): string {
  if (env.THAW_CONFIG) return resolve(env.THAW_CONFIG);
  return resolve(env.XDG_CONFIG_HOME || join(env.HOME || homedir(), ".config"), "thaw");
}

/** The file of the contexts. */
export function findContextsFile(env?: Environment): string {
  return join(findConfigFolder(env), "contexts.json");
}

/** @throws ThawError `usage` when the file is not what thaw wrote. */
export function readContexts(env?: Environment): Contexts {
  const path = findContextsFile(env);
  const remotes = new Map<string, RemoteHost>();
  try {
    const { current = localContext, contexts = {} } = JSON.parse(readFileSync(path, "utf8")) as {
      current?: unknown;
      contexts?: Record<string, { url: unknown } & Partial<Record<keyof RemoteSettings, unknown>>>;
    };
    const text = (value: unknown): string | undefined => (value === undefined ? undefined : String(value));
    for (const [name, { url, thaw, tokenFile, caFile }] of Object.entries(contexts)) {
      const settings = { thaw: text(thaw), tokenFile: text(tokenFile), caFile: text(caFile) };
      remotes.set(name, parseRemote(name, String(url), settings));
    }
    return { current: String(current), remotes };
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes(systemCode(error) ?? "")) return { current: localContext, remotes };
    const details = error instanceof ThawError && error.hint !== undefined ? [error.hint] : [];
    throw new ThawError("usage", `can't read the contexts in ${path}: ${(error as Error).message}`, {
      hint: `repair or remove the file; thaw --context ${localContext} works without it`,
      details,
      cause: error,
    });
  }
}
