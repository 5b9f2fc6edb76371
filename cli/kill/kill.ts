import { constants } from "node:os";
import { type ExecInfo, type SandboxInfo, ThawError } from "../../client/index.ts";
import { withClient } from "../connect.ts";
import { findExec } from "../exec-io/find-exec.ts";
import { printJson, writeOut } from "../output.ts";

/** `TERM` for `term`, `SIGTERM` and `15`. @throws ThawError `usage` */
export function parseSignal(text: string): string {
  const name = text.toUpperCase().replace(/^SIG/, "");
  for (const [signal, number] of Object.entries(constants.signals))
    if (signal === `SIG${name}` || String(number) === text) return signal.slice("SIG".length);
  throw new ThawError("usage", `there is no signal ${text}`, { hint: "kill -l lists them" });
}

/** Those that are named, or all that run. @throws ThawError `not-found`, `usage`, `conflict` */
export function chooseExecs(sandbox: SandboxInfo, named: readonly string[]): ExecInfo[] {
  const running = sandbox.execs.filter(({ state }) => state === "running");
  if (named.length === 0) {
    if (running.length > 0) return running;
    throw new ThawError("conflict", `no command runs in ${sandbox.name}`, {
      hint: `thaw rm ${sandbox.name} removes it`,
    });
  }
  return named.map((name) => {
    const exec = findExec(sandbox, name);
    if (exec.state === "running") return exec;
    throw new ThawError("conflict", `the command ${exec.id} has ended`, { hint: `thaw ps ${sandbox.name}` });
  });
}

/** `thaw kill`: prints the ids of the commands that got the signal. */
export async function kill(
  sandbox: string,
  named: readonly string[],
  flags: { signal: string; json?: boolean },
): Promise<void> {
  const signal = parseSignal(flags.signal);
  await withClient(async (client) => {
    const chosen = chooseExecs((await client.sandboxes.get(sandbox)).info, named);
    for (const { sandbox: id, id: exec } of chosen) {
      const to = signal === "KILL" ? "tree" : "group";
      await client.sandboxes.at(id).execAt(exec).signal(signal, { to });
      if (flags.json !== true) writeOut(`${exec}\n`);
    }
    if (flags.json === true) printJson(chosen);
  });
}
