import { askEveryContext } from "../every-context.ts";
import { abortOnSignals } from "../exec-io/signals.ts";
import { cleanText } from "../format/clean-text.ts";
import { printJson, styleErr, writeErr, writeOut } from "../output.ts";
import { chooseSandboxes, type ListFlags, showSandboxes } from "./list.ts";

/** `thaw ls --all-contexts`: every host is asked at once. @returns 0 when one of them answered. */
export async function listEverywhere(flags: ListFlags): Promise<number> {
  using abort = abortOnSignals();
  const answers = await askEveryContext(abort.signal, (client, signal) =>
    chooseSandboxes(client, flags, signal),
  );
  const failed = answers.flatMap(({ context, error }) => (error === undefined ? [] : [{ context, error }]));
  const sandboxes = answers.flatMap((answer) =>
    answer.error === undefined
      ? answer.value.map((sandbox) => ({ context: answer.context, ...sandbox }))
      : [],
  );
  if (flags.json === true) printJson({ sandboxes, unreachable: failed });
  else {
    writeOut(showSandboxes(sandboxes, flags));
    for (const { context, error } of failed) {
      const said = [error.message, ...error.details].join("; ");
      writeErr(`${styleErr("yellow", "unreachable:")} ${cleanText(`${context}: ${said}`)}\n`);
    }
  }
  return failed.length < answers.length ? 0 : (failed[0]?.error.exitCode ?? 125);
}
