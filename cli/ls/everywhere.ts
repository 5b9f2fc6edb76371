import { localContext, readContexts } from "../../client/contexts/config.ts";
import type { RemoteHost } from "../../client/contexts/remote.ts";
import { ThawError } from "../../client/errors.ts";
import type { Sandbox } from "../../client/index.ts";
import { withClient } from "../connect.ts";
import { abortOnSignals } from "../exec-io/signals.ts";
import { cleanText } from "../format/clean-text.ts";
import { printJson, styleErr, writeErr, writeOut } from "../output.ts";
import { formatSandboxes, type ListFlags } from "./list.ts";

/** How long a host may take to answer. */
const deadlineMs = 6000;

interface Answer {
  context: string;
  sandboxes: readonly Sandbox[];
  error?: ThawError;
}

async function ask(
  context: string,
  remote: RemoteHost | undefined,
  options: { labels: readonly string[] | undefined; signal: AbortSignal },
): Promise<Answer> {
  const late = AbortSignal.timeout(deadlineMs);
  const signal = AbortSignal.any([options.signal, late]);
  try {
    const sandboxes = await withClient((client) => client.listSandboxes({ labels: options.labels, signal }), {
      context: { remote },
    });
    return { context, sandboxes };
  } catch (error) {
    options.signal.throwIfAborted();
    if (late.aborted) {
      const message = `no answer within ${deadlineMs / 1000} s`;
      return { context, sandboxes: [], error: new ThawError("timeout", message) };
    }
    if (error instanceof ThawError) return { context, sandboxes: [], error };
    throw error;
  }
}

/** `thaw ls --all-contexts`: every host is asked at once. @returns 0 when one of them answered. */
export async function listEverywhere(flags: ListFlags): Promise<number> {
  using abort = abortOnSignals();
  const hosts: [string, RemoteHost | undefined][] = [[localContext, undefined], ...readContexts().remotes];
  const options = { labels: flags.label, signal: abort.signal };
  const answers = await Promise.all(hosts.map(([context, remote]) => ask(context, remote, options)));
  const failed = answers.flatMap(({ context, error }) => (error === undefined ? [] : [{ context, error }]));
  const sandboxes = answers.flatMap((answer) =>
    answer.sandboxes.map((sandbox) => ({ context: answer.context, ...sandbox })),
  );
  if (flags.json === true) printJson({ sandboxes, unreachable: failed });
  else {
    writeOut(formatSandboxes(sandboxes));
    for (const { context, error } of failed) {
      const said = [error.message, ...error.details].join("; ");
      writeErr(`${styleErr("yellow", "unreachable:")} ${cleanText(`${context}: ${said}`)}\n`);
    }
  }
  return failed.length < answers.length ? 0 : (failed[0]?.error.exitCode ?? 125);
}
