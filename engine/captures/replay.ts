/** What a replay is thawed from: the capture's machine as it was, or, where that can't go on, its disk booted anew. */

import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { defined } from "../../api/defined.ts";
import type { ExecDefaults } from "../../api/machine.ts";
import { EngineError } from "../errors.ts";
import { randomId } from "../ids.ts";
import { type OnProgress, phase } from "../progress.ts";
import type { ForkOrigin } from "../sandboxes/fork.ts";
import type { LiveContext } from "../sandboxes/freeze.ts";
import type { StoredSnapshot } from "../snapshots/store.ts";
import { buildFromDisk } from "../templates/build.ts";
import { type CheckContext, checkCapture } from "./check.ts";
import type { CaptureStore, StoredCapture } from "./store.ts";

export interface ReplayOptions {
  /** Default: the best that this host can. */
  level?: "memory" | "disk" | undefined;
  onProgress: OnProgress;
  signal: AbortSignal;
}

export interface Replay {
  capture: StoredCapture;
  level: "memory" | "disk";
  snapshot: StoredSnapshot;
  /** Absent when the snapshot itself is what is thawed. */
  origin: ForkOrigin | undefined;
  /** What commands in it get: the failed one's folder, user and environment, but nothing that was secret. */
  defaults: ExecDefaults;
}

export async function openReplay(
  context: LiveContext & CheckContext,
  captures: CaptureStore,
  capture: StoredCapture,
  options: ReplayOptions,
): Promise<Replay> {
  const { manifest } = capture;
  const level = await choose(context, capture, options.level);
  const base = await context.store.get(manifest.base.snapshot);
  const defaults = await defaultsOf(captures, capture, base.manifest.defaults);
  if (level === "disk") {
    const snapshot = await bootDisk(context, captures, capture, base, defaults, options);
    return { capture, level, snapshot, origin: undefined, defaults };
  }
  if (manifest.memory === "whole") return { capture, level, snapshot: base, origin: undefined, defaults };
  const origin = await differenceOrigin(context, captures, capture, { base, signal: options.signal });
  return { capture, level, snapshot: base, origin, defaults };
}

/** Opens a capture's difference to its base, to be thawed from. @param options.prefix `before-`: the machine as it was before the command */
export async function differenceOrigin(
  context: LiveContext,
  captures: CaptureStore,
  capture: StoredCapture,
  options: { base: StoredSnapshot; prefix?: "before-"; signal: AbortSignal },
): Promise<ForkOrigin> {
  const { store, runner } = context;
  const { base, prefix, signal } = options;
  const files = await store.checkForThaw(base);
  const { dir, clear } = await makeRoom(context);
  try {
    const difference = await captures.difference(capture, {
      ...{ into: dir, runner, signal },
      ...defined({ prefix }),
    });
    const release = async (): Promise<void> => {
      runner.forget(difference.id);
      await clear();
    };
    return { snapshot: base.id, files, difference, method: "difference", pauseMs: 0, release };
  } catch (error) {
    await clear();
    throw error;
  }
}

async function choose(
  context: CheckContext,
  { id, manifest }: StoredCapture,
  asked: "memory" | "disk" | undefined,
): Promise<"memory" | "disk"> {
  const { levels, best } = await checkCapture(context, manifest);
  const level = asked ?? (best === "files" ? null : best);
  const reasons = levels
    .filter((one) => (level === null ? one.level !== "files" : one.level === level))
    .flatMap((one) => one.reasons);
  if (level !== null && reasons.length === 0) return level;
  const what = level === null ? "be replayed" : `be replayed by its ${level}`;
  throw new EngineError(
    "snapshot-incompatible",
    `${id} can't ${what} here: ${[...new Set(reasons)].join("; ")}`,
    {
      hint: best === "files" ? `thaw replay ${id} --level files` : `thaw capture check ${id}`,
    },
  );
}

async function defaultsOf(
  captures: CaptureStore,
  capture: StoredCapture,
  base: ExecDefaults,
): Promise<ExecDefaults> {
  const request = await captures.request(capture);
  const { exec } = capture.file;
  return {
    env: { ...base.env, ...request?.env },
    user: exec?.user ?? base.user,
    workdir: exec?.cwd ?? base.workdir,
  };
}

/** Once per capture and host; the next replay thaws what this one made. */
async function bootDisk(
  context: LiveContext,
  captures: CaptureStore,
  capture: StoredCapture,
  base: StoredSnapshot,
  defaults: ExecDefaults,
  { onProgress, signal }: ReplayOptions,
): Promise<StoredSnapshot> {
  const known = await context.store.find(({ bootedFrom }) => bootedFrom === capture.id);
  if (known) return known;
  const { dir, clear } = await makeRoom(context);
  try {
    const disks = await phase(onProgress, { subject: capture.id, phase: "open" }, () =>
      openDisks(context, captures, capture, { into: dir, signal }),
    );
    const { resources, needs } = capture.manifest;
    return await buildFromDisk(
      context,
      {
        bootedFrom: capture.id,
        disks,
        resources,
        needs,
        defaults: { ...base.manifest.defaults, env: defaults.env },
      },
      { onProgress, signal },
    );
  } finally {
    await clear();
  }
}

/** The chain of its disk, lowest first, its own layers opened into the existing folder `into`. */
export async function openDisks(
  { store }: LiveContext,
  captures: CaptureStore,
  capture: StoredCapture,
  { into, signal }: { into: string; signal: AbortSignal },
): Promise<string[]> {
  const base = await store.checkForThaw(await store.get(capture.manifest.base.snapshot));
  await captures.expand(capture, (name) => name.startsWith("layer-"), into, signal);
  const own = capture.manifest.parts.filter(({ name }) => name.startsWith("layer-")).length;
  return [
    ...["disk.qcow2", ...(base.layers ?? [])].map((name) => join(base.dir, name)),
    ...Array.from({ length: own }, (_, index) => join(into, `layer-${index + 1}.qcow2`)),
  ];
}

export async function makeRoom({ home }: LiveContext): Promise<{ dir: string; clear: () => Promise<void> }> {
  const stateDir = join(home.builds, `build-${randomId()}`);
  const dir = join(stateDir, "difference");
  await mkdir(dir, { recursive: true, mode: 0o711 });
  return { dir, clear: () => rm(stateDir, { recursive: true, force: true }) };
}
