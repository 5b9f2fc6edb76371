/** docker's credential helpers: programs that the user's own configuration names. */
import { execFile } from "node:child_process";
import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { delimiter, isAbsolute, join } from "node:path";
import { ThawError } from "../../errors.ts";
import type { Credentials } from "./credentials.ts";

type Environment = Record<string, string | undefined>;
const DEADLINE_MS = 20_000;
const ANSWER_BYTES = 1 << 20;

/**
 * Asks `docker-credential-NAME` by docker's protocol: the registry's name on stdin, JSON on stdout. Null when it knows none.
 * @param options required: throw, rather than answer null, when the program is not there. @throws ThawError `store-denied`.
 */
export async function askHelper(
  name: string,
  registry: string,
  { env, required }: { env: Environment; required: boolean },
): Promise<Credentials | null> {
  const program = await findHelper(name, env);
  if (program === null) {
    if (!required) return null;
    throw notInstalled(name, registry);
  }
  const answer = await run(program, { action: "get", input: registry, env });
  if (answer === null) return null;
  let value: { Username?: unknown; Secret?: unknown };
  try {
    value = JSON.parse(answer) as typeof value;
  } catch (error) {
    throw new ThawError("store-denied", `${program} did not answer with JSON`, { cause: error });
  }
  const { Username: username, Secret: secret } = value ?? {};
  if (typeof username !== "string" || typeof secret !== "string")
    throw new ThawError("store-denied", `${program} answered without a user and a secret`);
  if (username === "<token>") return { username: "", password: "", identityToken: secret };
  return { username, password: secret };
}

/** Has a helper keep a password. @returns the program's name. @throws ThawError `store-denied`. */
export async function storeWithHelper(
  name: string,
  {
    server,
    username,
    password,
    env,
  }: { server: string; username: string; password: string; env: Environment },
): Promise<string> {
  const program = await findHelper(name, env);
  if (program === null) throw notInstalled(name, server);
  const input = JSON.stringify({ ServerURL: server, Username: username, Secret: password });
  await run(program, { action: "store", input, env });
  return `docker-credential-${name}`;
}

/** Has a helper forget a password. @returns whether it had one. @throws ThawError `store-denied`. */
export async function eraseWithHelper(
  name: string,
  { server, env }: { server: string; env: Environment },
): Promise<boolean> {
  const program = await findHelper(name, env);
  if (program === null || (await run(program, { action: "get", input: server, env })) === null) return false;
  await run(program, { action: "erase", input: server, env });
  return true;
}

async function findHelper(name: string, env: Environment): Promise<string | null> {
  if (!/^[A-Za-z0-9._-]+$/.test(name))
    throw new ThawError("store-denied", `${JSON.stringify(name)} is not the name of a credential helper`);
  return findProgram(`docker-credential-${name}`, env.PATH ?? process.env.PATH ?? "");
}

function notInstalled(name: string, registry: string): ThawError {
  return new ThawError(
    "store-denied",
    `docker-credential-${name} is not installed, but your configuration uses it for ${registry}`,
    { hint: "install it, or remove it from credHelpers and credsStore" },
  );
}

/** In the absolute folders of PATH only: what the current folder has, a workspace for instance, is never run. */
async function findProgram(name: string, path: string): Promise<string | null> {
  for (const folder of path.split(delimiter).filter(isAbsolute)) {
    const program = join(folder, name);
    if (
      await access(program, constants.X_OK).then(
        () => true,
        () => false,
      )
    )
      return program;
  }
  return null;
}

/** What it printed; null when it says that it has nothing for the registry. */
function run(
  program: string,
  { action, input, env }: { action: "get" | "store" | "erase"; input: string; env: Environment },
): Promise<string | null> {
  const { promise, resolve, reject } = Promise.withResolvers<string | null>();
  const options = {
    timeout: DEADLINE_MS,
    maxBuffer: ANSWER_BYTES,
    cwd: "/",
    env: { ...process.env, ...env },
  };
  const child = execFile(program, [action], options, (error, stdout, stderr) => {
    if (error === null) resolve(stdout);
    else if (/not found/i.test(stdout) || /credentials not found/i.test(stderr)) resolve(null);
    else {
      const [why = ""] = (stderr || stdout || error.message).trim().split("\n", 1);
      reject(new ThawError("store-denied", `${program} failed: ${why.slice(0, 200)}`, { cause: error }));
    }
  });
  child.stdin?.on("error", () => {});
  child.stdin?.end(input);
  return promise;
}
