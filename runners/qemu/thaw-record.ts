/** When this host first restored a snapshot, remembered for the versions it was done with. */
import { release } from "node:os";
import { z } from "zod";
import { recall, remember } from "../host/host-json.ts";
import type { MachineRecord } from "../runner.ts";
import type { Context } from "./context.ts";

const SECTION = "thaw";
const entry = z.object({ at: z.string(), isolation: z.string() });
type Entry = z.infer<typeof entry>;

export class ThawRecord {
  readonly #context: Context;
  #noted: string | undefined;

  constructor(context: Context) {
    this.#context = context;
  }

  /** Called with each machine that was restored; writes the first. */
  async note({ isolation }: MachineRecord): Promise<void> {
    const key = await this.#key();
    if (this.#noted === key) return;
    this.#noted = key;
    if ((await this.recall()) !== undefined) return;
    await remember(this.#context.home, SECTION, key, { at: new Date().toISOString(), isolation });
  }

  /** Of this QEMU, kernel and user; undefined when none was restored with them. */
  async recall(): Promise<Entry | undefined> {
    return recall(this.#context.home, SECTION, await this.#key(), (value) => entry.safeParse(value).data);
  }

  async #key(): Promise<string> {
    const { build } = await this.#context.facts();
    return [build, release(), process.getuid?.()].join(" | ");
  }
}
