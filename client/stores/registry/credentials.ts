/** A registry's user and password where docker and podman keep them. */
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { ThawError } from "../../errors.ts";
import { askHelper } from "./credential-helper.ts";
import { canonicalRegistry } from "./name.ts";

export interface Credentials {
  username: string;
  password: string;
  /** Stands instead of a password where a token service gave one. */
  identityToken?: string | undefined;
  /** Sent to the registry as it is. */
  registryToken?: string | undefined;
}

type Environment = Record<string, string | undefined>;
type Fields = Record<string, unknown>;
interface AuthFile {
  path: string;
  auths: Record<string, Fields>;
  credHelpers: Record<string, string>;
  credsStore: string | undefined;
}

/** Where docker keeps what it knows of Docker Hub. */
const DOCKER_HUB_KEY = "https://index.docker.io/v1/";

/**
 * Looks into `REGISTRY_AUTH_FILE` alone when it is set, else into docker's and podman's files, the first that knows the registry.
 * @param registry `HOST[:PORT]`. @throws ThawError `store-denied` when a file can't be read or a credential helper fails.
 */
export async function findCredentials(
  registry: string,
  repository: string,
  env: Environment = process.env,
): Promise<Credentials | null> {
  const name = canonicalRegistry(registry);
  const isDockerHub = name === "docker.io";
  for (const path of authFiles(env)) {
    const file = await readAuthFile(path);
    if (file === null) continue;
    const hosts = [...new Set([...hostsOf(name), registry.toLowerCase()])];
    const known = findEntry(file.auths, hosts, repository);
    const server = serverOf(name);
    for (const host of hosts) {
      const helper = file.credHelpers[host];
      if (helper === undefined) continue;
      const answer = await askHelper(helper, isDockerHub ? DOCKER_HUB_KEY : host, { env, required: true });
      if (answer !== null) return answer;
    }
    const own = known === undefined ? null : readEntry(known, path);
    if (own !== null) return own;
    if (file.credsStore === undefined) continue;
    const answer = await askHelper(file.credsStore, server, { env, required: known !== undefined });
    if (answer !== null) return answer;
  }
  return null;
}

/** In the order in which they are looked into. All are the user's: none is in a workspace. */
export function authFiles(env: Environment): string[] {
  if (env.REGISTRY_AUTH_FILE) return [env.REGISTRY_AUTH_FILE];
  const home = env.HOME || homedir();
  const podman = join("containers", "auth.json");
  return [
    join(env.DOCKER_CONFIG || join(home, ".docker"), "config.json"),
    ...(env.XDG_RUNTIME_DIR ? [join(env.XDG_RUNTIME_DIR, podman)] : []),
    join("/run/containers", String(process.getuid?.() ?? 0), "auth.json"),
    join(env.XDG_CONFIG_HOME || join(home, ".config"), podman),
  ];
}

/** What the file has; null when there is none. @throws ThawError `store-denied` when it can't be read. */
export async function readAuthJson(path: string): Promise<Fields | null> {
  try {
    return fieldsOf(JSON.parse(await readFile(path, "utf8")));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    // Another user's folder is none of ours.
    if (code === "ENOENT" || (code === "EACCES" && path.startsWith("/run/"))) return null;
    const why =
      error instanceof SyntaxError
        ? `${path} is not JSON`
        : `can't read the credentials in ${path}: ${message}`;
    throw new ThawError("store-denied", why, { hint: "thaw login writes it", cause: error });
  }
}

/** The helper that a file names for a registry, as `docker-credential-NAME`. */
export function credentialHelperOf(value: Fields, registry: string): string | undefined {
  const named = Object.entries(fieldsOf(value.credHelpers)).find(([key]) =>
    hostsOf(registry).includes(key.toLowerCase()),
  );
  return textOf(named?.[1]) ?? textOf(value.credsStore);
}

/** What docker calls a registry: the key of its entry, and the name that its helpers get. */
export function serverOf(registry: string): string {
  return registry === "docker.io" ? DOCKER_HUB_KEY : registry;
}

/** Every key under which a file may have an entry for the whole registry, in lower case. */
export function keysOf(registry: string): string[] {
  return hostsOf(registry).flatMap((host) => [host, ...urlsOf(host)]);
}

/** @param registry as credentials name it */
function hostsOf(registry: string): string[] {
  return registry === "docker.io"
    ? [DOCKER_HUB_KEY, "index.docker.io", "docker.io", "registry-1.docker.io"]
    : [registry, `${registry}:443`];
}

/** docker's URLs of old. */
function urlsOf(host: string): string[] {
  return ["https", "http"].flatMap((scheme) =>
    ["", "/", "/v1/", "/v2/"].map((end) => `${scheme}://${host}${end}`),
  );
}

async function readAuthFile(path: string): Promise<AuthFile | null> {
  const value = await readAuthJson(path);
  if (value === null) return null;
  const { auths, credHelpers, credsStore } = value;
  return {
    path,
    auths: Object.fromEntries(Object.entries(fieldsOf(auths)).map(([key, entry]) => [key, fieldsOf(entry)])),
    credHelpers: Object.fromEntries(
      Object.entries(fieldsOf(credHelpers)).flatMap(([key, helper]) =>
        typeof helper === "string" && helper !== "" ? [[key.toLowerCase(), helper]] : [],
      ),
    ),
    credsStore: textOf(credsStore),
  };
}

/** The entry that names the most of it: `host/a/b`, `host/a`, `host`, and docker's URLs of old. */
function findEntry(
  auths: AuthFile["auths"],
  hosts: readonly string[],
  repository: string,
): Fields | undefined {
  const folders = repository.split("/");
  const paths = folders.map((_, index) => folders.slice(0, folders.length - index).join("/"));
  const names = [
    ...paths.flatMap((path) => hosts.map((host) => `${host}/${path}`)),
    ...hosts,
    ...hosts.flatMap(urlsOf),
  ];
  const entries = new Map(
    Object.entries(auths).map(([key, entry]) => [
      key.replace(/^(https?:\/\/)?[^/]*/i, (host) => host.toLowerCase()),
      entry,
    ]),
  );
  const found = names.find((name) => entries.has(name));
  return found === undefined ? undefined : entries.get(found);
}

/** Null for an entry that only says that a credential helper knows the registry. */
function readEntry(entry: Fields, path: string): Credentials | null {
  const auth = textOf(entry.auth);
  const identityToken = textOf(entry.identitytoken);
  const registryToken = textOf(entry.registrytoken);
  const tokens = { identityToken, registryToken };
  if (auth !== undefined) {
    const text = Buffer.from(auth, "base64").toString();
    const colon = text.indexOf(":");
    if (colon < 0)
      throw new ThawError("store-denied", `${path} has an "auth" that is not base64 of USER:PASSWORD`, {
        hint: "thaw login",
      });
    return { username: text.slice(0, colon), password: text.slice(colon + 1).replace(/\0+$/, ""), ...tokens };
  }
  const username = textOf(entry.username);
  if (username === undefined && identityToken === undefined && registryToken === undefined) return null;
  return { username: username ?? "", password: textOf(entry.password) ?? "", ...tokens };
}

function fieldsOf(value: unknown): Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}
