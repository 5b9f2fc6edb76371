import type { Command } from "commander";
import type { Thaw } from "../client/index.ts";

/** What a verb does to each sandbox it is given; what it answers is printed with `--json`. */
export type SandboxAction = (client: Thaw, sandbox: string) => Promise<unknown>;

/** Defines a verb that takes one sandbox or more and prints each name when done. */
export function defineSandboxVerb(
  command: Command,
  options: { name: string; help?: string; act: SandboxAction; exit: (code: number) => void },
): void {
  const { name, help, act, exit } = options;
  command
    .argument("<sandbox...>", "names, ids, or unique beginnings of ids")
    .option("--json", "print the result as JSON")
    .addHelpText("after", `${help === undefined ? "" : `\n${help}\n`}\nExample:\n  $ thaw ${name} web`)
    .action(async (sandboxes: string[], flags: { json?: boolean }) => {
      const { actOnEach } = await import("./act-on-each.ts");
      exit(await actOnEach(sandboxes, act, flags));
    });
}
