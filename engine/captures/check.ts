/** What can be made of a capture on this host, from its manifest alone: memory, disk or files, and why not. */
import type { ReplayLevel } from "../../api/closed-lists.ts";
import type { Runners } from "../../runners/runners.ts";
import type { SnapshotStore } from "../snapshots/store.ts";
import type { CaptureManifest } from "./case-file.ts";

/** Why a capture that was published with its disk alone can't go on. */
export const LEFT_OUT = "its memory was left out when it was published (--disk-only)";

export interface LevelVerdict {
  level: ReplayLevel;
  ok: boolean;
  /** Why not, or what it takes. */
  reasons: string[];
}

export interface CaptureCheck {
  levels: LevelVerdict[];
  best: ReplayLevel | null;
}

export interface CheckContext {
  store: SnapshotStore;
  runner: Runners;
  /** Throws with the figures when this host never has room for a machine of that size. */
  needRoom(memoryMib: number, cpus: number): void;
}

/** What of a capture's manifest it takes to tell. */
export type Checked = Pick<CaptureManifest, "base" | "resources" | "needs" | "memory" | "resumes">;

/** @param baseComes its base can be fetched where the capture is: that it is not here yet keeps nothing from happening */
export async function checkCapture(
  { store, runner, needRoom }: CheckContext,
  manifest: Checked,
  baseComes = false,
): Promise<CaptureCheck> {
  const { base, resources, needs, memory } = manifest;
  const found = await store.get(base.snapshot).catch(() => null);
  const absent = found || baseComes ? [] : [`its base, snapshot ${base.snapshot}, is not on this host`];
  const changed =
    found && (await store.digest(found.id)) !== base.digest
      ? [`its base, snapshot ${found.id}, is another one here`]
      : [];
  const room: string[] = [];
  try {
    needRoom(resources.memoryMib, resources.cpus);
  } catch (error) {
    room.push((error as Error).message);
  }
  const missing = [...absent, ...changed];
  const place = { dir: found?.dir ?? "", id: base.snapshot, resources, needs };
  const unlike = await runner.incompatibilities(
    place,
    memory === "difference" ? { build: needs.build } : undefined,
  );
  const panicked = manifest.resumes ? [] : ["its kernel panicked, so its memory can't be resumed"];
  const leftOut = memory === "none" ? [LEFT_OUT] : [];
  const ownDisk = runner.names.includes(needs.runner) && runner.of(needs.runner).capabilities.ownDisk;
  const noDisk = ownDisk ? [] : [`runner ${needs.runner} keeps what a machine writes in its memory`];
  const verdict = (level: ReplayLevel, reasons: string[]): LevelVerdict => ({
    level,
    ok: reasons.length === 0,
    reasons,
  });
  const verdicts = [
    verdict("memory", [...missing, ...panicked, ...leftOut, ...unlike, ...room]),
    verdict("disk", [...missing, ...noDisk, ...room]),
    verdict("files", [...missing, ...noDisk]),
  ];
  return { levels: verdicts, best: verdicts.find(({ ok }) => ok)?.level ?? null };
}

/**
 * Why a difference's memory does not resume here though the whole machine's would; null when that is not so. Exported whole it is not bound to
 * the build that took it.
 */
export async function wholeWouldDo(context: CheckContext, manifest: Checked): Promise<string | null> {
  if (manifest.memory !== "difference") return null;
  const memory = async (one: Checked): Promise<LevelVerdict | undefined> =>
    (await checkCapture(context, one, true)).levels.find(({ level }) => level === "memory");
  const [own, whole] = await Promise.all([memory(manifest), memory({ ...manifest, memory: "whole" })]);
  return own?.ok === false && whole?.ok === true ? own.reasons.join("; ") : null;
}

/** Bytes of the parts that `level` reads. */
export function bytesFor(
  level: ReplayLevel,
  { parts }: { parts: readonly { name: string; sizeBytes: number }[] },
): number {
  const needed = parts.filter(({ name }) => level === "memory" || !/^(pages|devices)/.test(name));
  return needed.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}
