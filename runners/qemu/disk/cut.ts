/**
 * A cut makes the top overlay of a machine's disk read-only and puts a fresh one above it, so that the disk of one instant can be copied
 * while the machine goes on. It is a transaction:
 *
 * 1. prepared: the next overlay is open in QEMU, and the intent (`cut.json`) says on disk what is about to happen;
 * 2. cut: the machine writes to the next overlay, which is part of it from now on, whatever else fails;
 * 3. committed: the machine goes on as before, and the intent is removed.
 *
 * Whoever finds an intent finishes it: the same process after a failed step, the next operation, or the next daemon when it takes the
 * machine up. The file does not say whether the disk was cut, because only QEMU knows that at every instant. An overlay is unlinked only
 * after QEMU has said that it has not got it open.
 */
import { open, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { writeWhole } from "../../../durable/write.ts";
import { paced } from "../../../host/pace.ts";
import { type MachineRecord, RunnerError } from "../../runner.ts";
import { overlayNode } from "../argv.ts";
import type { LiveSource } from "../machine.ts";
import { emptyQcow2 } from "../qcow2.ts";
import { asObject, type QmpClient } from "../qmp.ts";
import {
  type ChainRecord,
  CUT_FILE,
  diskBytesOf,
  openNodes,
  overlayName,
  overlayNodeName,
  overlayPath,
  readChain,
  topOverlay,
} from "./chain.ts";
import { endDiskJobs } from "./flatten.ts";
import { frozenLayers, needRoomForLayers } from "./layers.ts";

/** How long a machine that QEMU refuses to continue is tried. */
const CONTINUE_TIMEOUT_MS = 5_000;
/** States in which a cut leaves a machine. Others (a full disk, a panic) have reasons of their own, and stay. */
const STOPPED_BY_A_CUT = ["paused", "finish-migrate", "postmigrate"];
const MIGRATING = ["setup", "active", "postcopy-active", "pre-switchover", "device", "cancelling"];

const cutIntent = z.object({
  version: z.literal(1),
  purpose: z.enum(["difference", "migration"]),
  /** The machine is to run afterwards. False: somebody had paused it. */
  ranBefore: z.boolean(),
  /** Indices of the overlay that is cut and of the one above it. */
  from: z.int(),
  to: z.int(),
});
export type CutIntent = z.infer<typeof cutIntent>;

/** One cut. Disposing of it finishes it, however far it came; what can't be finished now stays on disk as the intent. */
export class Cut implements AsyncDisposable {
  readonly ranBefore: boolean;
  readonly #source: LiveSource;
  readonly #chain: ChainRecord;
  readonly #intent: CutIntent;
  #stoppedAt: number | undefined;

  private constructor(source: LiveSource, chain: ChainRecord, intent: CutIntent) {
    this.#source = source;
    this.#chain = chain;
    this.#intent = intent;
    this.ranBefore = intent.ranBefore;
  }

  /** Step 1. On rejection the machine is as it was. */
  static async prepare(source: LiveSource, purpose: CutIntent["purpose"]): Promise<Cut> {
    const { qmp, record } = source;
    const chain = await readChain(record);
    await finishCut(source);
    await endDiskJobs(qmp);
    const from = await topOverlay(qmp);
    const to = from + 1;
    await needRoomForLayers(record, chain, from);
    await dropUnusedOverlay(source, to);
    try {
      await createOverlay(record, to, diskBytesOf(record, chain));
      await qmp.execute("blockdev-add", overlayNode(to, `${chain.diskDirInside}/${overlayName(to)}`));
      const ranBefore = asObject(await qmp.execute("query-status")).status === "running";
      const intent = { version: 1 as const, purpose, ranBefore, from, to };
      // Synced or not is the same: a machine does not survive the power loss that an intent would not.
      await writeWhole(join(record.stateDir, CUT_FILE), JSON.stringify(intent), { survives: "daemon" });
      return new Cut(source, chain, intent);
    } catch (error) {
      await dropUnusedOverlay(source, to).catch(() => {});
      throw error;
    }
  }

  /** Stops the machine, unless it is paused. */
  async stop(): Promise<void> {
    this.#stoppedAt ??= performance.now();
    if (this.ranBefore) await this.#source.qmp.execute("stop");
  }

  /** Step 2, with the machine stopped. When it rejects, the disk may have been cut all the same. */
  async cut(): Promise<void> {
    const { from, to } = this.#intent;
    await this.#source.qmp.execute("blockdev-snapshot", {
      node: overlayNodeName(from),
      overlay: overlayNodeName(to),
    });
  }

  /**
   * Lets the machine go on, unless it had been paused before.
   * @returns for how many milliseconds it stood still since `stop`, or since `stoppedAt` of `performance.now()`
   */
  async goOn(stoppedAt = this.#stoppedAt): Promise<number> {
    await goOn(this.#source.qmp, this.ranBefore);
    return this.ranBefore && stoppedAt !== undefined ? performance.now() - stoppedAt : 0;
  }

  /** Files that make up the disk as it was cut, lowest first, each immutable. Those from `ofSnapshot` on are not the snapshot's. */
  layers(): Promise<string[]> {
    return frozenLayers(this.#source.record, this.#chain, this.#intent.to);
  }

  /** Step 3. Does not reject, so that the error of the step that failed is the one that is seen. */
  async [Symbol.asyncDispose](): Promise<void> {
    await finishCut(this.#source).catch(() => {});
  }
}

/** Whether a cut of the machine is not finished. */
export async function hasUnfinishedCut(record: MachineRecord): Promise<boolean> {
  return (await readIntent(record)) !== null;
}

/**
 * Finishes the cut that the intent on disk tells of; does nothing when there is none. A migration is cancelled, a machine that ran goes on,
 * and the prepared overlay is removed if the disk was not cut. Rejects when QEMU does not answer: then the intent stays for the next try.
 */
export async function finishCut(source: LiveSource): Promise<void> {
  const { qmp, record } = source;
  const intent = await readIntent(record);
  if (intent === null) return;
  if (intent.purpose === "migration") await cancelMigration(qmp);
  await goOn(qmp, intent.ranBefore);
  const top = await topOverlay(qmp);
  if (top === intent.from) await dropUnusedOverlay(source, intent.to);
  await rm(join(record.stateDir, CUT_FILE), { force: true });
}

/** An intent that can't be read is set aside: nothing is known of the machine, so it stays as it is. */
async function readIntent(record: MachineRecord): Promise<CutIntent | null> {
  const path = join(record.stateDir, CUT_FILE);
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return null;
    throw error;
  });
  if (text === null) return null;
  try {
    return cutIntent.parse(JSON.parse(text));
  } catch {
    await rename(path, `${path}.unreadable`);
    return null;
  }
}

/**
 * Continues a machine that a cut has stopped. After a migration QEMU has let go of its disks; `cont` takes them up again, and is refused for
 * the instant in which QEMU tidies up. A machine that had been paused runs for a moment then.
 */
async function goOn(qmp: QmpClient, ranBefore: boolean): Promise<void> {
  const deadline = performance.now() + paced(CONTINUE_TIMEOUT_MS);
  for (;;) {
    const status = String(asObject(await qmp.execute("query-status")).status);
    const done = ranBefore ? !STOPPED_BY_A_CUT.includes(status) : !status.endsWith("migrate");
    if (done) return;
    const [refused] = await Promise.all([
      qmp.execute("cont").then(
        () => null,
        (error: unknown) => error,
      ),
      ...(ranBefore ? [] : [qmp.execute("stop")]),
    ]);
    if (refused === null) return;
    if (performance.now() > deadline) throw refused;
    await sleep(1);
  }
}

/** Gives up a migration that is under way. Resolves when QEMU has. */
async function cancelMigration(qmp: QmpClient): Promise<void> {
  const status = async (): Promise<string> => String(asObject(await qmp.execute("query-migrate")).status);
  if (!MIGRATING.includes(await status())) return;
  await qmp.execute("migrate_cancel");
  const deadline = performance.now() + paced(CONTINUE_TIMEOUT_MS);
  while (MIGRATING.includes(await status())) {
    if (performance.now() > deadline)
      throw new RunnerError(
        "timeout",
        `QEMU did not cancel its migration within ${paced(CONTINUE_TIMEOUT_MS)} ms`,
      );
    await sleep(2);
  }
}

async function createOverlay(record: MachineRecord, index: number, bytes: number): Promise<void> {
  const handle = await open(overlayPath(record, index), "wx", 0o600);
  try {
    await handle.writeFile(emptyQcow2(bytes));
    if (process.getuid?.() === 0) await handle.chown(record.uid, record.uid);
  } finally {
    await handle.close();
  }
}

/** Removes an overlay above the top. QEMU refuses to close one that is part of the machine's disk; then the file stays. */
async function dropUnusedOverlay({ qmp, record }: LiveSource, index: number): Promise<void> {
  const node = overlayNodeName(index);
  if ((await openNodes(qmp)).has(node)) await qmp.execute("blockdev-del", { "node-name": node });
  await rm(overlayPath(record, index), { force: true });
}
