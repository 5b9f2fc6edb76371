/** What a rerun has found so far, on disk by its request: asked again after its daemon was killed, it goes on where it was. */
import { mkdir, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { type RerunRun, rerunRun } from "../../api/capture.ts";
import { readRecord, recordKind, valueOrNull, writeRecord } from "../state/record.ts";

/** Nobody asks again after this long. */
const KEPT_MS = 24 * 3_600_000;

const progressKind = recordKind("rerun", z.object({ runs: z.array(rerunRun) }));

export class RerunProgress {
  readonly #path: string | null;
  /** By number. */
  readonly runs: Map<number, RerunRun>;
  #written: Promise<void> = Promise.resolve();

  private constructor(path: string | null, runs: readonly RerunRun[]) {
    this.#path = path;
    this.runs = new Map(runs.map((run) => [run.number, run]));
  }

  /** @param request absent: nothing is kept */
  static async open(dir: string, request: string | undefined): Promise<RerunProgress> {
    if (request === undefined) return new RerunProgress(null, []);
    await mkdir(dir, { recursive: true });
    await removeOld(dir);
    const path = join(dir, `${request}.json`);
    return new RerunProgress(path, valueOrNull(await readRecord(path, progressKind))?.runs ?? []);
  }

  /** Keeps a run that is over. */
  async note(run: RerunRun): Promise<void> {
    this.runs.set(run.number, run);
    const path = this.#path;
    if (path === null) return;
    // One after the other: the last write has all of them.
    this.#written = this.#written.then(() =>
      writeRecord(path, progressKind, { runs: [...this.runs.values()] }, { survives: "daemon" }),
    );
    await this.#written;
  }
}

async function removeOld(dir: string): Promise<void> {
  for (const name of await readdir(dir)) {
    const path = join(dir, name);
    const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Number.POSITIVE_INFINITY }));
    if (Date.now() - mtimeMs > KEPT_MS) await rm(path, { force: true });
  }
}
