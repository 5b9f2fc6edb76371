/** A registry's user and password: tried at the registry, and kept where docker keeps them. */
import { mkdir, realpath, rename, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { ThawError } from "../../errors.ts";
import { newRequestId } from "../../request-id.ts";
import { eraseWithHelper, storeWithHelper } from "./credential-helper.ts";
import { authFiles, credentialHelperOf, keysOf, readAuthJson, serverOf } from "./credentials.ts";
import { parseRegistryHost } from "./name.ts";

type Environment = Record<string, string | undefined>;

/** How a login is made. */
export interface LoginOptions {
  username: string;
  /** A password, or a token of the registry's that stands for one. */
  password: string;
  /** Speak to it without TLS. */
  plainHttp?: boolean | undefined;
  env?: Environment;
  signal: AbortSignal;
}

/**
 * Asks the registry whether it takes the user and the password, and keeps them when it does: in `REGISTRY_AUTH_FILE` when that is set, else in
 * docker's file, or with the credential helper that the file names for the registry.
 * @param word `HOST[:PORT]`
 * @returns where they are kept: a file's path, or a program's name
 * @throws ThawError `store-denied` when the registry does not take them, or they can't be kept; `store-unreachable`
 */
export async function login(
  word: string,
  options: LoginOptions,
): Promise<{ registry: string; kept: string }> {
  const { username, password, plainHttp = false, env = process.env, signal } = options;
  if (username === "" || username.includes(":") || password === "")
    throw new ThawError("usage", "a user without a colon and a password are needed");
  const { registry, host } = parseRegistryHost(word);
  const { RegistryHttp } = await import("./http.ts");
  const http = new RegistryHttp({
    ...{ registry, host, repository: "", plainHttp },
    credentials: { username, password },
  });
  try {
    const answer = await http.ask({ method: "GET", url: "/v2/", expect: [200], push: false, signal });
    await answer.body.dump();
  } catch (error) {
    if (!(error instanceof ThawError) || error.code !== "store-denied") throw error;
    throw new ThawError(
      "store-denied",
      `${registry} does not take this user and password: ${error.message}`,
      {
        cause: error,
      },
    );
  } finally {
    await http.close();
  }
  return { registry, kept: await keep(registry, { username, password, env }) };
}

async function keep(
  registry: string,
  { username, password, env }: { username: string; password: string; env: Environment },
): Promise<string> {
  const [path = ""] = authFiles(env);
  const value = (await readAuthJson(path)) ?? {};
  const server = serverOf(registry);
  const helper = credentialHelperOf(value, registry);
  if (helper !== undefined) return storeWithHelper(helper, { server, username, password, env });
  const auth = Buffer.from(`${username}:${password}`).toString("base64");
  await replace(path, { ...value, auths: { ...objectIn(value.auths), [server]: { auth } } });
  return path;
}

/**
 * Forgets the user and the password of a registry, in every file that has them and with the helpers that those name.
 * @returns the files and programs that had them
 */
export async function logout(
  word: string,
  env: Environment = process.env,
): Promise<{ registry: string; forgotten: string[] }> {
  const { registry } = parseRegistryHost(word);
  const forgotten: string[] = [];
  for (const path of authFiles(env)) {
    const value = await readAuthJson(path);
    if (value === null) continue;
    const helper = credentialHelperOf(value, registry);
    if (helper !== undefined && (await eraseWithHelper(helper, { server: serverOf(registry), env })))
      forgotten.push(`docker-credential-${helper}`);
    const keys = new Set(keysOf(registry));
    const auths = Object.entries(objectIn(value.auths));
    const left = auths.filter(([key]) => !keys.has(key.toLowerCase()));
    if (left.length === auths.length) continue;
    await replace(path, { ...value, auths: Object.fromEntries(left) });
    if (!forgotten.includes(path)) forgotten.push(path);
  }
  return { registry, forgotten };
}

/** In one step. A link is followed: the file that it names is the one that is replaced. */
async function replace(path: string, value: Record<string, unknown>): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    const file = await realpath(path).catch(() => path);
    const beside = `${file}.${newRequestId()}`;
    try {
      await writeFile(beside, `${JSON.stringify(value, null, "\t")}\n`, { mode: 0o600, flag: "wx" });
      await rename(beside, file);
    } catch (error) {
      await rm(beside, { force: true });
      throw error;
    }
  } catch (error) {
    throw new ThawError("store-denied", `can't write ${path}: ${(error as Error).message}`, { cause: error });
  }
}

function objectIn(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : {};
}
