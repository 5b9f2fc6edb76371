/** Commands of runsc to a machine that runs. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { runTool } from "../host/tool.ts";
import type { MachineRecord } from "../runner.ts";
import { runscOptions } from "./bundle.ts";
import type { Context } from "./context.ts";

const COMMAND_TIMEOUT_MS = 10_000;
const ANSWER_TIMEOUT_MS = 3_000;
/** Of a gigabyte of memory, on a slow disk. */
const CHECKPOINT_TIMEOUT_MS = 120_000;

const note = z.object({ status: z.string() });

type Place = Pick<MachineRecord, "id" | "runtimeDir">;

/** Folder in which runsc notes the machine. Its keeper makes it and removes it. */
export function stateRoot({ runtimeDir }: Pick<Place, "runtimeDir">): string {
  return join(runtimeDir, "work");
}

export class Runsc {
  readonly #context: Context;
  readonly #place: Place;

  constructor(context: Context, place: Place) {
    this.#context = context;
    this.#place = place;
  }

  /** The same from runsc's own note, without a process of runsc; it may be of a machine that has ended since. */
  async notedStatus(): Promise<string | undefined> {
    const { id } = this.#place;
    const text = await readFile(join(stateRoot(this.#place), `${id}_sandbox:${id}.state`), "utf8").catch(
      () => "",
    );
    return statusIn(text);
  }

  /** `running`, `paused`, `stopped`, or what else runsc calls it; undefined when it knows no such machine. */
  async status(): Promise<string | undefined> {
    return statusIn(await this.#run(["state"]).catch(() => ""));
  }

  /** Rejects when the sandbox, which is asked for its processes, does not answer within seconds. */
  async ping(): Promise<void> {
    await this.#run(["ps"], { timeoutMs: ANSWER_TIMEOUT_MS });
  }

  async pause(): Promise<void> {
    await this.#run(["pause"]);
  }

  async resume(): Promise<void> {
    await this.#run(["resume"]);
  }

  /** Writes a checkpoint into the existing folder `image`. The machine ends with it unless it is to go on. */
  async checkpoint(
    image: string,
    { goesOn, signal }: { goesOn: boolean; signal?: AbortSignal | undefined },
  ): Promise<void> {
    const options = ["--image-path", image, "--compression", "none", "--exclude-committed-zero-pages"];
    await this.#run(["checkpoint", ...options, ...(goesOn ? ["--leave-running"] : [])], {
      timeoutMs: CHECKPOINT_TIMEOUT_MS,
      signal,
    });
  }

  async #run(
    command: readonly string[],
    { timeoutMs = COMMAND_TIMEOUT_MS, signal }: { timeoutMs?: number; signal?: AbortSignal | undefined } = {},
  ): Promise<string> {
    const { path } = await this.#context.facts();
    const words = [...runscOptions(stateRoot(this.#place)), ...command, this.#place.id];
    return runTool(path, words, { timeoutMs, signal, debianPackage: "runsc" });
  }
}

/** Undefined when the text is not whole. */
function statusIn(text: string): string | undefined {
  try {
    return note.safeParse(JSON.parse(text)).data?.status;
  } catch {
    return undefined;
  }
}
