/** Keeps the chain of a running machine's disk shallow: QEMU copies what lies between the lowest disk and the top into the top. */
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { paced } from "../../../host/pace.ts";
import { type MachineRecord, RunnerError } from "../../runner.ts";
import { BASE_NODE } from "../argv.ts";
import type { LiveSource } from "../machine.ts";
import { asObject, type QmpClient } from "../qmp.ts";
import {
  DISK_DIR,
  openNodes,
  overlayName,
  overlayNodeName,
  overlayPath,
  readChain,
  topOverlay,
  writeChain,
} from "./chain.ts";
import { ownCopy } from "./layers.ts";

/** Deeper chains are flattened. */
const MAX_LAYERS = 8;
const FLATTEN_TIMEOUT_MS = 600_000;
const CANCEL_TIMEOUT_MS = 10_000;

/**
 * Flattens a chain that has grown deep. The machine goes on meanwhile, and what was cut before stays whole for those who were thawed from it.
 * It can be ended at any point: until `chain.json` says otherwise the chain is used as it was, which is right also when the top already
 * holds all of it, and files that nobody needs any more are removed by the next call.
 */
export async function flattenWhenDeep({ qmp, record }: LiveSource, signal?: AbortSignal): Promise<void> {
  const chain = await readChain(record);
  await endDiskJobs(qmp);
  const top = await topOverlay(qmp);
  if (chain.disks.length - 1 + top - chain.firstOwn <= MAX_LAYERS) {
    return removeFlattened({ qmp, record }, chain.firstOwn);
  }
  if (!(await stream(qmp, top, signal))) return;
  await writeChain(record.stateDir, {
    ...chain,
    disks: chain.disks.slice(0, 1),
    ofSnapshot: 1,
    firstOwn: top,
  });
  await removeFlattened({ qmp, record }, top);
}

/** Cancels jobs that an earlier daemon began: while one runs, the disk can't be cut. */
export async function endDiskJobs(qmp: QmpClient): Promise<void> {
  const deadline = performance.now() + paced(CANCEL_TIMEOUT_MS);
  for (;;) {
    const jobs = await qmp.execute("query-block-jobs");
    if (!Array.isArray(jobs) || jobs.length === 0) return;
    if (performance.now() > deadline)
      throw new RunnerError(
        "timeout",
        `QEMU did not end a job on its disk within ${paced(CANCEL_TIMEOUT_MS)} ms`,
      );
    for (const job of jobs) {
      const { device } = asObject(job);
      // Refused when it has just ended.
      await qmp.execute("block-job-cancel", { device, force: true }).catch(() => {});
    }
    await sleep(10);
  }
}

/** @returns false when the job failed or was cancelled */
async function stream(qmp: QmpClient, top: number, signal?: AbortSignal): Promise<boolean> {
  const job = `flatten-${top}`;
  const done = qmp.waitEvent(
    ({ name, data }) =>
      (name === "BLOCK_JOB_COMPLETED" || name === "BLOCK_JOB_CANCELLED") && data.device === job
        ? { whole: name === "BLOCK_JOB_COMPLETED" && data.error === undefined }
        : undefined,
    { what: "the flattened disk", timeoutMs: FLATTEN_TIMEOUT_MS },
  );
  done.catch(() => {});
  const onAbort = (): void => {
    qmp.execute("block-job-cancel", { device: job, force: true }).catch(() => {});
  };
  signal?.addEventListener("abort", onAbort);
  try {
    // Without an empty name QEMU writes one of its own making into the overlay's header.
    const names = { "base-node": BASE_NODE, "backing-file": "" };
    await qmp.execute("block-stream", { "job-id": job, device: overlayNodeName(top), ...names });
    if (signal?.aborted) onAbort();
    return (await done).whole;
  } finally {
    signal?.removeEventListener("abort", onAbort);
  }
}

/** Removes the overlays below `firstOwn`, and their copies, as far as QEMU has let go of them. The higher hold the lower open. */
async function removeFlattened({ qmp, record }: LiveSource, firstOwn: number): Promise<void> {
  const left = await overlaysBelow(record, firstOwn);
  if (left.length === 0) return;
  const open = await openNodes(qmp);
  for (const index of left) {
    const node = overlayNodeName(index);
    if (open.has(node)) await qmp.execute("blockdev-del", { "node-name": node });
    await rm(overlayPath(record, index), { force: true });
    await rm(ownCopy(record, index), { force: true });
  }
}

/** Indices, highest first. */
async function overlaysBelow(record: MachineRecord, firstOwn: number): Promise<number[]> {
  const names = new Set(await readdir(join(record.stateDir, DISK_DIR)));
  const indices = Array.from({ length: firstOwn }, (_, index) => firstOwn - 1 - index);
  return indices.filter((index) => names.has(overlayName(index)));
}
