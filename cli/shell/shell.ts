import { defined } from "../../api/defined.ts";
import { type ExecInfo, type ExecRequest, LOGIN_SHELL, ThawError } from "../../client/index.ts";
import type { DetachKeys } from "../arguments/detach-keys.ts";
import { joinExec } from "../attach/attach.ts";
import { withClient } from "../connect.ts";
import { reportEnd, sayLeft } from "../exec-io/end.ts";
import { findExec } from "../exec-io/find-exec.ts";
import { planExec } from "../exec-io/flags.ts";

/** Flags of `thaw shell`. */
export interface ShellFlags {
  /** True: the newest. */
  exec?: string | true;
  takeover?: boolean;
  user?: string;
  workdir?: string;
  env?: Record<string, string>;
  detachKeys?: DetachKeys;
}

/** Terminals that every guest knows; others are told to be like xterm. */
const KNOWN_TERMINALS = /^(xterm|screen|tmux|linux|vt\d+|rxvt|ansi|dumb)\b/;

/** The request for a login shell at our terminal. */
export function planShell(flags: ShellFlags, environment: NodeJS.ProcessEnv): ExecRequest {
  const { TERM = "", COLORTERM } = environment;
  const env = {
    TERM: KNOWN_TERMINALS.test(TERM) ? TERM : "xterm-256color",
    ...defined({ COLORTERM }),
    ...flags.env,
  };
  const { user, workdir } = flags;
  return planExec([...LOGIN_SHELL], {
    ...{ env, tty: true, interactive: true },
    ...defined({ user, workdir }),
  });
}

/** `thaw shell`. @returns the shell's exit code, or thaw's; 0 when the user left. */
export async function shell(sandbox: string, flags: ShellFlags): Promise<number> {
  if (process.stdin.isTTY !== true) {
    throw new ThawError("usage", "a shell needs a terminal, but stdin is not one", {
      hint: `thaw exec -i ${sandbox} -- sh`,
    });
  }
  return withClient(async (client) => {
    const exec = await (async (): Promise<ExecInfo> => {
      if (flags.exec === undefined)
        return client.sandboxes.at(sandbox).startDetached(planShell(flags, process.env));
      const { info: found } = await client.sandboxes.get(sandbox);
      const wanted = ({ state, tty }: ExecInfo): boolean => tty && state === "running";
      return findExec(found, flags.exec === true ? undefined : flags.exec, {
        wanted,
        what: "shell that runs",
      });
    })();
    const ended = await joinExec(client, exec, flags);
    if (ended === undefined) sayLeft(sandbox, exec);
    return reportEnd(ended, {});
  });
}
