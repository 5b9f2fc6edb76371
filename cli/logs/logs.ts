import { defined } from "../../api/defined.ts";
import { isSshServer } from "../../api/own-commands.ts";
import { type ExecReference, type Thaw, ThawError } from "../../client/index.ts";
import { withClient } from "../connect.ts";
import { writeFully } from "../exec-io/fd-writer.ts";
import { findExec, oldestFirst } from "../exec-io/find-exec.ts";
import { abortOnSignals, Interrupted } from "../exec-io/signals.ts";
import { styleErr, writeErr } from "../output.ts";
import { LineAssembler, type LogLine } from "./lines.ts";

/** Flags of `thaw logs`. */
export interface LogsFlags {
  all?: boolean;
  follow?: boolean;
  since?: Date;
  tail?: number;
  timestamps?: boolean;
  json?: boolean;
}

type Stream = "stdout" | "stderr";

/** Writes an exec's chunks as the flags say: unaltered, or line by line. */
class LogPrinter {
  readonly #flags: LogsFlags;
  /** Said with each line, where several execs are printed. */
  readonly #exec: string | undefined;
  readonly #lines: Record<Stream, LineAssembler> = {
    stdout: new LineAssembler(),
    stderr: new LineAssembler(),
  };

  constructor(flags: LogsFlags, exec?: string) {
    this.#flags = flags;
    this.#exec = exec;
  }

  async print(stream: Stream, data: Uint8Array, time: Date): Promise<void> {
    const { json, timestamps } = this.#flags;
    if (json === true || timestamps === true || this.#exec !== undefined)
      await this.#print(stream, this.#lines[stream].push(data, time));
    else await writeFully(stream === "stdout" ? 1 : 2, data);
  }

  async end(): Promise<void> {
    for (const stream of ["stdout", "stderr"] as const) await this.#print(stream, this.#lines[stream].end());
  }

  async #print(stream: Stream, lines: readonly LogLine[]): Promise<void> {
    if (lines.length === 0) return;
    const { json = false, timestamps = false } = this.#flags;
    const exec = this.#exec;
    const named = defined({ exec });
    const before = exec === undefined ? "" : `${exec} | `;
    const text = lines.map(({ time, text }) =>
      json
        ? JSON.stringify({ ...named, time: time.toISOString(), stream, text })
        : `${before}${timestamps ? `${time.toISOString()} ` : ""}${text}`,
    );
    await writeFully(json || stream === "stdout" ? 1 : 2, Buffer.from(`${text.join("\n")}\n`));
  }
}

/** Prints what an exec wrote, until its end or, with `--follow`, the exec's. */
async function printExec(
  exec: ExecReference,
  flags: LogsFlags,
  { signal, printer }: { signal: AbortSignal; printer: LogPrinter },
): Promise<void> {
  const { since, tail, follow } = flags;
  for await (const chunk of exec.logs({ since, tail, follow, signal })) {
    if ("data" in chunk) await printer.print(chunk.channel, chunk.data, chunk.time);
    else
      writeErr(
        `${styleErr("yellow", "thaw:")} the first ${chunk.droppedUntil} bytes of ${chunk.channel} are no longer kept\n`,
      );
  }
  await printer.end();
}

/**
 * Prints the logs of all execs of a sandbox, the oldest exec first. With `--follow` it prints them at once, also of execs that start later,
 * until the sandbox is removed.
 */
async function printAll(client: Thaw, name: string, flags: LogsFlags, signal: AbortSignal): Promise<void> {
  // Before the list: an exec that starts in between is in both.
  const { lastEvent } = await client.sandboxes.page({ limit: 1, signal });
  const { info } = await client.sandboxes.get(name, { signal });
  const sandbox = client.sandboxes.at(info.id);
  const print = (id: string): Promise<void> =>
    printExec(sandbox.execAt(id), flags, { signal, printer: new LogPrinter(flags, id) });
  const ids = new Set(oldestFirst(info).map(({ id }) => id));
  if (flags.follow !== true) {
    for (const id of ids) await print(id);
    return;
  }
  const failed = new AbortController();
  const printing: Promise<void>[] = [];
  const follow = (id: string): void => {
    const printed = print(id).catch((error: unknown) => {
      // The sandbox went, and the exec with it.
      if (!(error instanceof ThawError) || error.code !== "not-found") failed.abort(error);
    });
    printing.push(printed);
  };
  for (const id of ids) follow(id);
  const either = AbortSignal.any([signal, failed.signal]);
  for await (const event of client.events({ since: lastEvent, sandbox: info.id, signal: either })) {
    if (event.type === "sandbox.removed") break;
    if (event.type !== "exec.started" || ids.has(event.target) || isSshServer(event.details)) continue;
    ids.add(event.target);
    follow(event.target);
  }
  await Promise.all(printing);
  failed.signal.throwIfAborted();
}

/** `thaw logs`. @returns 0; 130 when interrupted. */
export async function showLog(
  sandbox: string,
  reference: string | undefined,
  flags: LogsFlags,
): Promise<number> {
  if (flags.all === true && reference !== undefined)
    throw new ThawError("usage", "--all prints every exec, and an exec is named");
  return withClient(async (client) => {
    using interrupt = abortOnSignals();
    const { signal } = interrupt;
    try {
      if (flags.all === true) await printAll(client, sandbox, flags, signal);
      else {
        const { info } = await client.sandboxes.get(sandbox, { signal });
        const exec = client.sandboxes.at(info.id).execAt(findExec(info, reference).id);
        await printExec(exec, flags, { signal, printer: new LogPrinter(flags) });
      }
      return 0;
    } catch (error) {
      // What was asked for has been printed: nothing failed.
      if (error instanceof Interrupted && flags.follow === true) return error.exitCode;
      throw error;
    }
  });
}
