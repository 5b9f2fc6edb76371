import { buildRunRequest, readCiContext } from "../../client/index.ts";
import { withClient } from "../connect.ts";
import { checkDetached, startAndLeave } from "../exec-io/detached.ts";
import { abortOnSignals } from "../exec-io/signals.ts";
import { sayUnavailable } from "../network/unavailable.ts";
import { printJson, writeOut } from "../output.ts";
import { createReporter } from "../progress/reporter.ts";
import { writeResult } from "../result-file.ts";
import { bringSource } from "../travel/bring.ts";
import { planRun, type RunFlags, type RunWords } from "./plan.ts";
import { checkWorkspace } from "./run.ts";

/** `thaw run -d`: the command runs on in a sandbox that stays; without the command there is no sandbox. Prints the sandbox's name. @returns 0. */
export async function runDetached(words: RunWords, flags: RunFlags): Promise<number> {
  checkDetached(flags);
  const plan = await planRun(words, flags);
  const { workspace, ignore = true, user } = plan.settings;
  checkWorkspace(workspace);
  return withClient(async (client) => {
    const source = await bringSource(client, plan.settings.source, flags);
    const settings = { ...plan.settings, ...source };
    const request = buildRunRequest({ argv: plan.argv, settings, ci: readCiContext(process.env) });
    using reporter = createReporter(flags);
    using interrupt = abortOnSignals();
    const { signal } = interrupt;
    const sandbox = await client.sandboxes.create(request.create, {
      onProgress: (progress) => reporter.show(progress),
      signal,
    });
    reporter[Symbol.dispose]();
    sayUnavailable(sandbox.info);
    try {
      if (workspace !== undefined) {
        const { beginWorkspace, sendWorkspace } = await import("./send-workspace.ts");
        const { capture = "never" } = settings;
        const collected = beginWorkspace(workspace, { ignore, signal });
        const how = {
          user,
          keep: capture !== "never",
          verbose: flags.verbose === true && flags.json !== true,
        };
        await sendWorkspace(client, sandbox.info, { workspace: collected, ...how, signal });
      }
      const exec = await startAndLeave(sandbox, request.exec, signal);
      const result = { sandbox: sandbox.info, exec };
      writeResult({ type: "result", ...result });
      if (flags.json === true) printJson(result);
      else writeOut(`${sandbox.name}\n`);
      return 0;
    } catch (error) {
      await sandbox.remove().catch(() => {});
      throw error;
    }
  });
}
