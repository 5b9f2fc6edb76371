/** A registry's user and password where docker and podman keep them. */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { ThawError } from "../errors.ts";

export interface Credentials {
  username: string;
  password: string;
  /** Stands instead of a password where a token service gave one. */
  identityToken?: string | undefined;
}

interface AuthFile {
  auths?: Record<string, { auth?: string; identitytoken?: string }>;
  credHelpers?: Record<string, string>;
  credsStore?: string;
}

type Environment = Record<string, string | undefined>;
const helperDeadlineMs = 20_000;
const helperAnswerBytes = 1 << 20;

/** `REGISTRY_AUTH_FILE` alone when it is set, else docker's and podman's files. @throws ThawError `store-denied` when one can't be read. */
export async function findCredentials(
  registry: string,
  repository: string,
  env: Environment = process.env,
): Promise<Credentials | null> {
  for (const path of authFiles(env)) {
    const file = await readAuthFile(path);
    if (file === null) continue;
    const helper = file.credHelpers?.[registry];
    if (helper !== undefined) return askHelper(helper, registry);
    const known = entryFor(file.auths ?? {}, registry, repository);
    if (known?.auth) return decode(known.auth, known.identitytoken, path);
    if (file.credsStore !== undefined && known !== undefined) return askHelper(file.credsStore, registry);
  }
  return null;
}

function authFiles(env: Environment): string[] {
  if (env.REGISTRY_AUTH_FILE) return [env.REGISTRY_AUTH_FILE];
  const docker = env.DOCKER_CONFIG || join(env.HOME || homedir(), ".docker");
  const runtime = env.XDG_RUNTIME_DIR ? [join(env.XDG_RUNTIME_DIR, "containers", "auth.json")] : [];
  return [join(docker, "config.json"), ...runtime];
}

async function readAuthFile(path: string): Promise<AuthFile | null> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw new ThawError(
      "store-denied",
      `can't read the credentials in ${path}: ${(error as Error).message}`,
      { cause: error },
    );
  }
  try {
    return JSON.parse(text) as AuthFile;
  } catch (error) {
    throw new ThawError("store-denied", `${path} is not JSON`, {
      hint: "docker login writes it",
      cause: error,
    });
  }
}

/** The entry that names the most of it: `host/a/b`, `host/a`, `host`, and docker's URLs of old. */
function entryFor(auths: NonNullable<AuthFile["auths"]>, registry: string, repository: string) {
  const folders = repository.split("/");
  const names = folders.map((_, index) => [registry, ...folders.slice(0, folders.length - index)].join("/"));
  const urls = ["https", "http"].flatMap((scheme) =>
    ["", "/", "/v1/", "/v2/"].map((end) => `${scheme}://${registry}${end}`),
  );
  const found = [...names, registry, ...urls].find((name) => auths[name] !== undefined);
  return found === undefined ? undefined : auths[found];
}

function decode(auth: string, identityToken: string | undefined, path: string): Credentials {
  const text = Buffer.from(auth, "base64").toString();
  const colon = text.indexOf(":");
  if (colon < 0)
    throw new ThawError("store-denied", `${path} has an "auth" that is not base64 of USER:PASSWORD`, {
      hint: "docker login",
    });
  return { username: text.slice(0, colon), password: text.slice(colon + 1), identityToken };
}

/** docker's protocol: the registry's name on stdin, JSON on stdout. */
async function askHelper(name: string, registry: string): Promise<Credentials | null> {
  if (!/^[A-Za-z0-9._-]+$/.test(name))
    throw new ThawError("store-denied", `${name} is no name of a credential helper`);
  const program = `docker-credential-${name}`;
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const options = { timeout: helperDeadlineMs, maxBuffer: helperAnswerBytes };
  const child = execFile(program, ["get"], options, (error, stdout) => {
    if (error && /not found/i.test(stdout)) resolve("");
    else if (error)
      reject(
        new ThawError("store-denied", `${program}: ${error.message.split("\n", 1)[0]}`, { cause: error }),
      );
    else resolve(stdout);
  });
  child.stdin?.on("error", () => {});
  child.stdin?.end(registry);
  const answer = await promise;
  if (answer === "") return null;
  const { Username = "", Secret = "" } = JSON.parse(answer) as { Username?: string; Secret?: string };
  return Username === "<token>"
    ? { username: "", password: "", identityToken: Secret }
    : { username: Username, password: Secret };
}
