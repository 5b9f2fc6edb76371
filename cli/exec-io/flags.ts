import { type Command, Option } from "commander";
import { defined } from "../../api/defined.ts";
import { findShort, MIN_SECRET_BYTES } from "../../api/mask.ts";
import { type CapturePolicy, type ExecRequest, readCiContext } from "../../client/index.ts";
import { parseCapture } from "../arguments/capture.ts";

import { parseDetachKeys } from "../arguments/detach-keys.ts";
import { parseDuration } from "../arguments/duration.ts";
import { collectEnv, collectEnvFile } from "../arguments/env.ts";
import { collectMask, readSecrets } from "../arguments/mask.ts";
import { parseUser } from "../arguments/user.ts";
import { styleErr, writeErr } from "../output.ts";
import { openResultFile } from "../result-file.ts";
import { readTerminalSize } from "./terminal.ts";

/** Flags of everything that runs a command. */
export interface ExecFlags {
  env?: Record<string, string>;
  envFile?: Record<string, string>;
  mask?: readonly string[];
  workdir?: string;
  user?: string;
  interactive?: boolean;
  tty?: boolean;
  /** Milliseconds. */
  timeout?: number;
  capture?: CapturePolicy;
  checkpoint?: boolean;
  json?: boolean;
}

/** Adds the flags of everything that runs a command. */
export function addExecFlags(command: Command): Command {
  return command
    .option(
      "-e, --env <K=V>",
      "set a variable; K alone passes on its value from your environment (may be repeated)",
      collectEnv,
    )
    .option(
      "--env-file <file>",
      "set the variables of a file, one NAME=VALUE a line; -e wins (may be repeated)",
      collectEnvFile,
    )
    .option(
      "--mask <name>",
      "pass on this variable as a secret, with its value from -e or your environment: masked in output, never stored (may be repeated)",
      collectMask,
    )
    .option("-w, --workdir <dir>", "run in this folder of the sandbox")
    .option("-u, --user <user>", "run as NAME, UID, NAME:GROUP or UID:GID", parseUser)
    .option("-i, --interactive", "pass stdin on")
    .option("-t, --tty", "give the command a terminal")
    .option("--timeout <duration>", "end the command after 500ms, 2s, 10m, 1h (exit code 124)", parseDuration)
    .option(
      "--capture <when>",
      "when to capture the machine: on-failure, always, never, or triggers as in timeout,oom",
      parseCapture,
    )
    .option(
      "--checkpoint",
      "with --capture: also save the machine's state before the command, for thaw rerun",
    )
    .option("--json", "print progress and result as lines of JSON on stderr")
    .addOption(resultFileOption());
}

/** The flag for a result that the guest can't forge. */
export function resultFileOption(): Option {
  return new Option(
    "--result-file <file>",
    "write the result as a line of JSON to this file, separate from the command's output (/dev/fd/3: a file descriptor)",
  ).argParser(openResultFile);
}

/** The flag for the keys that leave an exec running. */
export function detachKeysOption(): Option {
  return new Option(
    "--detach-keys <keys>",
    "keys that detach and leave the command running, e.g. ctrl-p,ctrl-q; none turns them off (default: ctrl-])",
  ).argParser(parseDetachKeys);
}

/** The request for a command with these flags. */
export function planExec(argv: readonly string[], flags: ExecFlags): ExecRequest {
  return {
    argv: [...argv],
    stdin: flags.interactive === true,
    ...defined({ env: readEnv(flags) }),
    ...planMask(flags),
    ...defined({ cwd: flags.workdir, user: flags.user }),
    ...(flags.tty === true ? { tty: readTerminalSize() } : {}),
    ...defined({ timeoutMs: flags.timeout }),
    ...planCapture(flags),
  };
}

/** The variables that the flags set; undefined: none. */
export function readEnv({
  env,
  envFile,
}: Pick<ExecFlags, "env" | "envFile">): Record<string, string> | undefined {
  return envFile === undefined ? env : { ...envFile, ...env };
}

/** The variables, with those that are secret. Throws `usage` for a name without a value. Says which values are too short to be masked. */
export function planMask(flags: ExecFlags): { env?: Record<string, string>; mask?: string[] } {
  const { mask } = flags;
  if (mask === undefined) return {};
  const env = readEnv(flags);
  const secrets = readSecrets(mask, { ...process.env, ...env });
  for (const name of findShort(secrets))
    writeErr(`${styleErr("yellow", "thaw:")} ${name} is not masked: fewer than ${MIN_SECRET_BYTES} bytes\n`);
  return { env: { ...env, ...secrets }, mask: [...mask] };
}

function planCapture({ capture, checkpoint }: ExecFlags): Pick<ExecRequest, "capture" | "ci" | "checkpoint"> {
  if (capture === undefined || capture === "never") return {};
  const ci = readCiContext(process.env);
  return { capture, ...defined({ ci }), ...(checkpoint === true ? { checkpoint } : {}) };
}
