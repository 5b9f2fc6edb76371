import { withClient } from "../connect.ts";
import { writeFully } from "../exec-io/fd-writer.ts";
import { findExec } from "../exec-io/find-exec.ts";
import { abortOnSignals, Interrupted } from "../exec-io/signals.ts";
import { styleErr, writeErr } from "../output.ts";
import { LineAssembler, type LogLine } from "./lines.ts";

/** Flags of `thaw logs`. */
export interface LogsFlags {
  follow?: boolean;
  since?: Date;
  tail?: number;
  timestamps?: boolean;
  json?: boolean;
}

type Stream = "stdout" | "stderr";

/** Writes chunks as the flags say: unaltered, or line by line. */
class LogPrinter {
  readonly #flags: LogsFlags;
  readonly #lines: Record<Stream, LineAssembler> = {
    stdout: new LineAssembler(),
    stderr: new LineAssembler(),
  };

  constructor(flags: LogsFlags) {
    this.#flags = flags;
  }

  async print(stream: Stream, data: Uint8Array, time: Date): Promise<void> {
    const { json, timestamps } = this.#flags;
    if (json === true || timestamps === true) await this.#print(stream, this.#lines[stream].push(data, time));
    else await writeFully(stream === "stdout" ? 1 : 2, data);
  }

  async end(): Promise<void> {
    for (const stream of ["stdout", "stderr"] as const) await this.#print(stream, this.#lines[stream].end());
  }

  async #print(stream: Stream, lines: readonly LogLine[]): Promise<void> {
    if (lines.length === 0) return;
    const json = this.#flags.json === true;
    const text = lines.map(({ time, text }) =>
      json ? JSON.stringify({ time: time.toISOString(), stream, text }) : `${time.toISOString()} ${text}`,
    );
    await writeFully(json || stream === "stdout" ? 1 : 2, Buffer.from(`${text.join("\n")}\n`));
  }
}

/** `thaw logs`. @returns 0; 130 when interrupted. */
export async function showLog(
  sandbox: string,
  reference: string | undefined,
  flags: LogsFlags,
): Promise<number> {
  return withClient(async (client) => {
    using interrupt = abortOnSignals();
    const { signal } = interrupt;
    const { info: found } = await client.sandboxes.get(sandbox, { signal });
    const exec = findExec(found, reference);
    const { since, tail, follow } = flags;
    const printer = new LogPrinter(flags);
    try {
      const logs = client.sandboxes.at(found.id).execAt(exec.id).logs({ since, tail, follow, signal });
      for await (const chunk of logs) {
        if ("data" in chunk) await printer.print(chunk.channel, chunk.data, chunk.time);
        else
          writeErr(
            `${styleErr("yellow", "thaw:")} the first ${chunk.droppedUntil} bytes of ${chunk.channel} are no longer kept\n`,
          );
      }
      await printer.end();
      return 0;
    } catch (error) {
      // What was asked for has been printed: nothing failed.
      if (error instanceof Interrupted && follow === true) return error.exitCode;
      throw error;
    }
  });
}
