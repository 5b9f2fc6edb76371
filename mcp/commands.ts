/** Commands in sandboxes, and what they write. */
import { z } from "zod";
import { execExit, execState } from "../api/schema.ts";
import { type ExecInfo, type ExecReference, type SandboxReference, ThawError } from "../client/index.ts";
import { CLEANUP_MS, PAGE_BYTES } from "./limits.ts";
import { type Page, page, pageOf, plainWord } from "./untrusted.ts";

export const execAnswer = z.object({
  sandbox: z.string(),
  exec: z.string().describe("Id of the command, for read_output"),
  state: execState,
  exit: execExit.nullable().describe("How it ended; null: it still runs, or could not be started"),
  untrusted: z.object({ stdout: page, stderr: page, error: z.string().nullable() }),
});

/** How something ended. The name of a signal is the guest's. */
export function exitOf(exit: ExecInfo["exit"]): ExecInfo["exit"] {
  return exit === null || exit.signal === null ? exit : { ...exit, signal: plainWord(exit.signal) };
}

export interface Command {
  argv: string[];
  cwd?: string;
  env?: Record<string, string>;
  user?: string;
  tty?: { rows: number; cols: number };
  timeoutMs: number;
}

/** What became of a command, and the end of what it wrote. */
export interface Ran {
  info: ExecInfo;
  stdout: Page;
  stderr: Page;
}

/** Runs a command and waits for its end, or for `waitMs`: then it goes on running. Aborted, it is killed. */
export async function runCommand(
  sandbox: SandboxReference,
  command: Command,
  { signal, waitMs }: { signal: AbortSignal; waitMs: number },
): Promise<Ran> {
  const { id } = await sandbox.startDetached(command, { signal });
  const exec = sandbox.execAt(id);
  try {
    const info = await waitFor(exec, { signal, waitMs });
    return { ...(await readEnds(exec, signal)), info };
  } catch (error) {
    if (signal.aborted) await exec.kill({ signal: AbortSignal.timeout(CLEANUP_MS) }).catch(() => {});
    throw error;
  }
}

async function waitFor(
  exec: ExecReference,
  { signal, waitMs }: { signal: AbortSignal; waitMs: number },
): Promise<ExecInfo> {
  try {
    return await exec.wait({ timeoutMs: waitMs, signal });
  } catch (error) {
    if (error instanceof ThawError && error.code === "timeout") return exec.get({ signal });
    throw error;
  }
}

/** The last bytes of each channel, as far as they are there. */
export async function readEnds(
  exec: ExecReference,
  signal: AbortSignal,
): Promise<Pick<Ran, "stdout" | "stderr">> {
  const ends = { stdout: new End(), stderr: new End() };
  for await (const piece of exec.logs({ signal }))
    if ("data" in piece) ends[piece.channel].add(piece.data, piece.offset);
    else ends[piece.channel].add(new Uint8Array(), piece.droppedUntil);
  return { stdout: ends.stdout.page(), stderr: ends.stderr.page() };
}

/** The last bytes of a stream. */
class End {
  #bytes: Buffer = Buffer.alloc(0);
  #total = 0;

  add(data: Uint8Array, offset: number): void {
    // What lay between is no longer kept.
    if (offset !== this.#total) this.#bytes = Buffer.alloc(0);
    this.#total = offset + data.length;
    this.#bytes = Buffer.concat([this.#bytes, data]).subarray(-PAGE_BYTES);
  }

  page(): Page {
    return pageOf(this.#bytes, { offset: this.#total - this.#bytes.length, total: this.#total });
  }
}

/** The bytes of one channel from `offset` on; from the first that is kept, where that is later. */
export async function readOutput(
  exec: ExecReference,
  { channel, offset, signal }: { channel: "stdout" | "stderr"; offset: number; signal: AbortSignal },
): Promise<Page> {
  const parts: Uint8Array[] = [];
  let from: number | undefined;
  let length = 0;
  let total = 0;
  let isCut = false;
  for await (const piece of exec.logs({ signal })) {
    if (piece.channel !== channel) continue;
    if (!("data" in piece)) {
      total = piece.droppedUntil;
      // A page has no gap: what comes after it is another page's.
      isCut ||= length > 0;
      continue;
    }
    total = piece.offset + piece.data.length;
    const skip = Math.max(0, offset - piece.offset);
    if (skip >= piece.data.length || length >= PAGE_BYTES || isCut) continue;
    const part = piece.data.subarray(skip, skip + PAGE_BYTES - length);
    from ??= piece.offset + skip;
    parts.push(part);
    length += part.length;
  }
  return pageOf(Buffer.concat(parts), { offset: from ?? Math.min(offset, total), total });
}
