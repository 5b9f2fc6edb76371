import { createInterface } from "node:readline/promises";
import { Writable } from "node:stream";
import { text } from "node:stream/consumers";
import { login, parseRegistryHost, ThawError } from "../../client/index.ts";
import { abortOnSignals } from "../exec-io/signals.ts";
import { readStdin } from "../exec-io/stdin.ts";
import { printJson, writeErr, writeOut } from "../output.ts";

/** Flags of `thaw login`. */
export interface LoginFlags {
  username?: string;
  passwordStdin?: boolean;
  plainHttp?: boolean;
  json?: boolean;
}

/** `thaw login`. @throws ThawError `usage` when it is not a registry, `store-denied` when the registry does not take the user and the password. */
export async function logIn(registry: string, flags: LoginFlags): Promise<void> {
  // before anybody types a password for it
  parseRegistryHost(registry);
  using interrupt = abortOnSignals();
  const { signal } = interrupt;
  const username = flags.username ?? (await ask("Username: ", { signal }));
  const password =
    flags.passwordStdin === true
      ? await readPassword(signal)
      : await ask("Password: ", { signal, hidden: true });
  const done = await login(registry, { username, password, plainHttp: flags.plainHttp, signal });
  if (flags.json === true) printJson({ registry: done.registry, username, kept: done.kept });
  else writeOut(`${done.registry}: logged in as ${username}; kept in ${done.kept}\n`);
}

/** The line end that `echo` adds is no part of it. */
async function readPassword(signal: AbortSignal): Promise<string> {
  return (await text(readStdin(signal))).replace(/\r?\n$/, "");
}

/** Asks a question at the terminal and returns the answer. @param options hidden: the terminal does not show the answer */
async function ask(question: string, options: { signal: AbortSignal; hidden?: boolean }): Promise<string> {
  if (process.stdin.isTTY !== true)
    throw new ThawError("usage", "there is no terminal to ask for the user and the password", {
      hint: "thaw login REGISTRY -u USER --password-stdin",
    });
  writeErr(question);
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({
    input: process.stdin,
    output: options.hidden === true ? nowhere : process.stderr,
    terminal: true,
  });
  // Ctrl-C at the question is heard by whoever reads the keys.
  lines.on("SIGINT", () => process.kill(process.pid, "SIGINT"));
  try {
    return await lines.question("", { signal: options.signal });
  } catch (error) {
    options.signal.throwIfAborted();
    throw error;
  } finally {
    lines.close();
    if (options.hidden === true) writeErr("\n");
  }
}
