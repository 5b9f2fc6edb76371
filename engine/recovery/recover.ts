/**
 * What an earlier daemon left. Before the daemon answers, only files are read: names are reserved, sandboxes listed. Machines are asked behind
 * that, a bounded number at a time. A failure of one thing is reported and stops nothing else.
 */
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { paced } from "../../host/pace.ts";
import { Gate } from "../concurrency.ts";
import type { Parts } from "../parts.ts";
import { execsDir, recordPath } from "../sandboxes/dir.ts";
import { clearTorn, clearUnfinished, completeEntries } from "../state/entries.ts";
import { clearBuild } from "../templates/build.ts";
import { type Later, readSandbox } from "./adopt.ts";
import { awayFor } from "./heartbeat.ts";

const READS_AT_ONCE = 32;
const ADOPTIONS_AT_ONCE = 16;
/** An adoption that takes longer no longer counts: machines that do not answer must not hold up the others. */
const SLOT_MS = 2_000;
/** Clients of a daemon that is away try to come back, and to start another one, no longer than this. */
const CLIENTS_TRY_MS = 15_000;

export interface Problem {
  what: string;
  message: string;
}

/** @returns the rest of the work, to be started once the daemon listens. Neither rejects. */
export async function recover(parts: Parts): Promise<{ problems: Problem[]; rest: () => Promise<void> }> {
  const { home, snapshots, archive, captures } = parts;
  const problems: Problem[] = [];
  const attempt = async <T>(what: string, work: () => Promise<T>): Promise<T | null> => {
    try {
      return await work();
    } catch (error) {
      problems.push({ what, message: (error as Error).message });
      return null;
    }
  };
  const builds = (await attempt("builds", () => readdir(home.builds))) ?? [];
  const graves = (await attempt("removed sandboxes", () => unfinished(home.sandboxes))) ?? [];
  await Promise.all([
    attempt("snapshots", () => snapshots.recover()),
    attempt("steps of templates", () => clearUnfinished(home.steps)),
    attempt("downloads", () => clearUnfinished(home.downloads)),
    attempt("root file systems", () => clearUnfinished(home.rootfs)),
    attempt("root file systems that were made anew", () => archive.roots.prune({ dryRun: false })),
    attempt("caches", () => clearUnfinished(home.caches)),
    attempt("imports", () => archive.imports.recover()),
    attempt("compressed parts", () => archive.wire.recover()),
  ]);
  const clientsGone = ((await awayFor(home.heartbeat, parts.clock)) ?? 0) > paced(CLIENTS_TRY_MS);
  const reads = new Gate(READS_AT_ONCE);
  const ids = (await attempt("sandboxes", () => completeEntries(home.sandboxes))) ?? [];
  const left = await Promise.all(
    ids.map((id) =>
      reads.run(() =>
        attempt(`sandbox ${id}`, () =>
          readSandbox(parts, id, clientsGone).catch((error: Error) => {
            // It is there all the same, and needs what it is based on.
            const path = recordPath(join(home.sandboxes, id));
            parts.quarantine.mark({ kind: "sandbox", what: id, path, reason: error.message });
            throw error;
          }),
        ),
      ),
    ),
  );
  await attempt("captures", () => captures.recover());
  const rest = async (): Promise<void> => {
    const context = { home, runner: parts.runner };
    const gate = new Gate(ADOPTIONS_AT_ONCE);
    const later = (what: string, work: Later) =>
      gate.run(() => Promise.race([attempt(what, work), pause(SLOT_MS, null, { ref: false })]));
    await Promise.all([
      parts.runner.sweep(),
      ...left.map((work, index) => work && later(`sandbox ${ids[index]}`, work)),
      ...builds.map((id) => later(`build ${id}`, () => clearBuild(context, id))),
      clearTornWrites(parts, ids, attempt),
      ...graves.map((path) => later(path, () => rm(path, { recursive: true, force: true }))),
    ]);
  };
  return { problems, rest };
}

/** Small files that were being written when the daemon was killed, wherever `writeWhole` puts them. */
async function clearTornWrites(
  { home }: Parts,
  sandboxes: readonly string[],
  attempt: (what: string, work: () => Promise<void>) => Promise<unknown>,
): Promise<void> {
  const own = sandboxes.map((id) => join(home.sandboxes, id));
  const published = [home.captures, home.wire, home.rootfs, home.kernels].map(foldersIn);
  const folders = [
    ...[home.root, home.reruns, home.packages],
    ...[...own, ...own.map(execsDir)],
    ...(await Promise.all(published)).flat(),
  ];
  const gate = new Gate(READS_AT_ONCE);
  await Promise.all(folders.map((dir) => gate.run(() => attempt(dir, () => clearTorn(dir)))));
}

async function foldersIn(dir: string): Promise<string[]> {
  const entries = await readdir(dir, { withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => join(dir, name));
}

/** What is half made or half removed now; what is made later is not. */
async function unfinished(dir: string): Promise<string[]> {
  return (await readdir(dir)).filter((name) => name.startsWith(".")).map((name) => join(dir, name));
}
