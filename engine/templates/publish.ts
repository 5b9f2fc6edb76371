/** How a built machine becomes a snapshot. */
import { join } from "node:path";
import { z } from "zod";
import { mib, type OnProgress, type Phase } from "../progress.ts";
import type { Manifest } from "../snapshots/manifest.ts";
import type { SnapshotStore, StoredSnapshot } from "../snapshots/store.ts";
import { writeAsked } from "../state/asked.ts";
import { completeEntries } from "../state/entries.ts";
import { readRecord, recordKind, writeRecord } from "../state/record.ts";

/** In the folder of a snapshot that was built of steps; no part of it. */
const STEPS_FILE = "steps.json";
const stepsKind = recordKind("steps of a snapshot", z.object({ keys: z.array(z.string()) }));

export interface BuildOptions {
  onProgress: OnProgress;
  signal: AbortSignal;
  /** Id of the client's request, kept with the snapshot. */
  request?: string | undefined;
  /** Runs steps again that are kept. */
  force?: boolean;
}

/** What a snapshot's manifest says of its making. */
export type About = Pick<Manifest, "template" | "variantOf" | "bootedFrom" | "warm" | "defaults">;

export function freezing(subject: string): Phase<StoredSnapshot> {
  return {
    ...{ subject, phase: "freeze" },
    detail: ({ manifest }) => {
      const bytes = Object.fromEntries(manifest.parts.map((part) => [part.name, part.storedBytes]));
      return `${mib(bytes.memory ?? 0)} memory, ${mib((bytes["disk.qcow2"] ?? 0) + (bytes.devices ?? 0))} devices+disk`;
    },
  };
}

/** @param made.steps keys of the steps that it was made of */
export async function publishBuilt(
  store: SnapshotStore,
  draft: string,
  made: About & Pick<Manifest, "resources" | "needs"> & { steps?: readonly string[] },
  { request, signal }: BuildOptions,
): Promise<StoredSnapshot> {
  const { steps, ...about } = made;
  if (request !== undefined) await writeAsked(draft, { request });
  if (steps !== undefined)
    await writeRecord(join(draft, STEPS_FILE), stepsKind, { keys: [...steps] }, { survives: "power-loss" });
  return store.publish(draft, { createdAt: new Date().toISOString(), ...about }, signal);
}

/** Keys of the steps that snapshots in the folder were made of, but for those of `without`. */
export async function stepsOfSnapshots(
  dir: string,
  without: ReadonlySet<string> = new Set(),
): Promise<Set<string>> {
  const ids = (await completeEntries(dir)).filter((id) => !without.has(id));
  const read = await Promise.all(ids.map((id) => readRecord(join(dir, id, STEPS_FILE), stepsKind)));
  return new Set(read.flatMap((one) => (one.state === "ok" ? one.value.keys : [])));
}
