import { defined } from "../../api/defined.ts";
import {
  type Capture,
  type ExecConnection,
  type RunRequest,
  type SandboxInfo,
  type Thaw,
  ThawError,
} from "../../client/index.ts";
import { readTimers, type TimerFlags } from "../arguments/timers.ts";
import { withClient } from "../connect.ts";
import { conductExec } from "../exec-io/conduct.ts";
import { reportEnd } from "../exec-io/end.ts";
import { type ExecFlags, planExec } from "../exec-io/flags.ts";
import { abortOnSignals } from "../exec-io/signals.ts";
import { checkTerminal } from "../exec-io/terminal.ts";
import { formatAge, formatElapsed } from "../format/age.ts";
import { cleanText } from "../format/clean-text.ts";
import { describeDiskAge } from "../format/disk-age.ts";
import { formatCommand, formatEnd, formatTrigger, quoteWord } from "../format/ending.ts";
import { styleErr, writeErr } from "../output.ts";
import { createReporter } from "../progress/reporter.ts";
import { planShell } from "../shell/shell.ts";
import { bring } from "../travel/bring.ts";
import type { ReadFlags } from "../travel/flags.ts";

/** Flags of `thaw replay`. */
export interface ReplayFlags extends ExecFlags, TimerFlags, ReadFlags {
  level?: "memory" | "disk" | "files";
  core?: string;
  exact?: boolean;
  name?: string;
  keep?: boolean;
}

function planReplay(capture: string, argv: readonly string[], flags: ReplayFlags): RunRequest {
  const { level, exact, name, keep, env, user, workdir } = flags;
  const shell = {
    ...defined({ env, user, workdir }),
  };
  return {
    create: {
      source: {
        capture,
        ...(level === undefined || level === "files" ? {} : { level }),
        ...defined({ exact }),
      },
      ...readTimers(flags),
      ...defined({ name }),
    },
    exec: argv.length === 0 ? planShell(shell, process.env) : planExec(argv, flags),
    keep: keep === true,
  };
}

/** What one is about to stand in. */
function describeCase(capture: Capture, { replay, name }: SandboxInfo): string {
  const { exec, crash, processes, listening } = capture;
  const what = exec === null ? `sandbox ${capture.sandbox.name}` : formatCommand(exec.argv, 100);
  const diskAge = describeDiskAge(capture);
  const how =
    exec === null
      ? `captured by hand`
      : `${exec.exit === null ? `alive at the ${formatTrigger(capture)}` : formatEnd(exec.exit)} after ${formatElapsed(exec.durationMs)}`;
  const now =
    replay?.level === "disk"
      ? `its disk, booted anew: no process of then is there${diskAge === null ? "" : `; ${diskAge}`}`
      : crash === null
        ? `${formatCount(processes.length, "process", "processes")} and ${formatCount(listening.length, "port", "ports")} as they were`
        : `process ${crash.pid} (${crash.name}) is held as it died of SIG${crash.signal}`;
  const lines = [
    `${capture.id}  ${what}  ${how}, ${formatAge(capture.createdAt)}`,
    `${name}: ${now}`,
    `quarantined: no network, no secrets${replay?.exact === true ? ", recorded entropy and clock: do not make keys in it" : ""}`,
  ];
  return lines.map((line) => `${styleErr("dim", cleanText(line))}\n`).join("");
}

/** `thaw replay`. @returns the command's exit code, or thaw's. */
export async function replay(
  reference: string,
  argv: readonly string[],
  flags: ReplayFlags,
): Promise<number> {
  const { core } = flags;
  if (core !== undefined) {
    const { writeCore } = await import("./write-core.ts");
    return writeCore(reference, core, flags);
  }
  if (flags.level === "files") {
    const { listFiles } = await import("./list-files.ts");
    return listFiles(reference, argv, flags);
  }
  checkShell(argv, flags, `thaw replay ${reference} -- COMMAND`);
  return withClient((client) => replayWith(client, reference, argv, flags));
}

/** Refuses a shell without a terminal. @throws ThawError `usage` with `hint` */
export function checkShell(argv: readonly string[], flags: ReplayFlags, hint: string): void {
  if (argv.length === 0 && process.stdin.isTTY !== true)
    throw new ThawError("usage", "a shell in the replay needs a terminal, but stdin is not one", { hint });
  checkTerminal(flags);
}

async function replayWith(
  client: Thaw,
  reference: string,
  argv: readonly string[],
  flags: ReplayFlags,
): Promise<number> {
  const capture = await findCapture(client, reference, flags);
  using reporter = createReporter(flags);
  let sandbox: SandboxInfo | undefined;
  const typed = Promise.withResolvers<string>();
  const asShell: ReplayFlags = argv.length === 0 ? { ...flags, tty: true, interactive: true } : flags;
  const exec = await conductExec(asShell, {
    open: async (handlers): Promise<ExecConnection> => {
      const connection = await client.run(planReplay(capture.id, argv, flags), {
        ...handlers,
        onStatus: (message) => {
          handlers.onStatus(message);
          if (message.type === "progress") reporter.show(message);
          if (message.type !== "created") return;
          reporter[Symbol.dispose]();
          sandbox = message.sandbox;
          if (argv.length === 0 && flags.json !== true) writeErr(describeCase(capture, message.sandbox));
          else noteDiskAge(capture, message.sandbox, flags);
          // Typed at the prompt, for whoever stands there to run.
          if (argv.length === 0 && message.sandbox.replay?.level === "disk")
            typed.resolve(typedCommand(capture));
        },
      });
      typed.promise.then((command) => connection.writeStdin(Buffer.from(command))).catch(() => {});
      return connection;
    },
    onStatus: () => {},
  });
  if (exec === undefined) throw new ThawError("internal", "the replay was left");
  if (flags.keep === true && flags.json !== true)
    writeErr(`thaw: kept as ${sandbox?.name} · thaw shell ${sandbox?.name}\n`);
  return reportEnd(exec, flags);
}

/** Fetches it first when it lies in a store. Throws `Interrupted`. */
async function findCapture(client: Thaw, reference: string, flags: ReadFlags): Promise<Capture> {
  using interrupt = abortOnSignals();
  const { signal } = interrupt;
  return client.captures.get(await bring(client, "capture", reference, flags), { signal });
}

/** A command in a replay of the disk says nothing else of where it runs. */
function noteDiskAge(capture: Capture, { replay }: SandboxInfo, flags: ReplayFlags): void {
  const note = replay?.level === "disk" ? describeDiskAge(capture) : null;
  if (note !== null && flags.json !== true) writeErr(`${styleErr("yellow", "thaw:")} ${note}\n`);
}

/** The failing command as one types it. */
function typedCommand({ exec }: Capture): string {
  return exec === null ? "" : exec.argv.map(quoteWord).join(" ");
}

function formatCount(count: number, one: string, many: string): string {
  return `${count} ${count === 1 ? one : many}`;
}
