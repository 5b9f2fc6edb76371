/**
 * A capture that is a difference, made whole: its machine is thawed, not let go on, and saved by the hypervisor's own migration, which other
 * builds read too. The result is a capture of its own, based on the snapshot that this makes.
 */

import { constants, copyFile, mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { caseFile } from "../../api/case-file.ts";
import { type CapturePart, captureManifest } from "../captures/case-file.ts";
import { LEFT_OUT } from "../captures/check.ts";
import { describePart } from "../captures/parts.ts";
import { type CaptureStore, SECRETS_FILE, type StoredCapture } from "../captures/store.ts";
import { withMachine } from "../captures/trial.ts";
import { EngineError } from "../errors.ts";
import { randomId } from "../ids.ts";
import { mib, type OnProgress, phase } from "../progress.ts";
import type { LiveContext } from "../sandboxes/freeze.ts";
import { markImported, type StoredSnapshot } from "../snapshots/store.ts";

/** What travels as it is; the machine's own parts are the new snapshot's. */
const KEPT = ["request.json", "workspace.zst"] as const;

/** Itself when it is whole; the one that was made before when there is one. Throws `unsupported` after a panic, and without memory. */
export async function makeWhole(
  context: LiveContext,
  captures: CaptureStore,
  capture: StoredCapture,
  options: { onProgress: OnProgress; signal: AbortSignal },
): Promise<StoredCapture> {
  if (capture.manifest.memory === "whole") return capture;
  if (capture.manifest.memory === "none")
    throw new EngineError("unsupported", `${capture.id} can't be converted to a full capture: ${LEFT_OUT}`, {
      hint: "leave out --full: its disk boots everywhere",
    });
  const id = `${capture.id}full`;
  const known = (await captures.list()).find((one) => one.id === id);
  if (known) return known;
  if (!capture.manifest.resumes)
    throw new EngineError(
      "unsupported",
      `${capture.id} can't be converted to a full capture: its kernel panicked, so it can't be resumed`,
      {
        hint: "leave out --full: its disk boots everywhere",
      },
    );
  const { onProgress, signal } = options;
  const detail = ({ manifest }: StoredSnapshot): string =>
    mib(manifest.parts.reduce((sum, part) => sum + part.storedBytes, 0));
  const snapshot = await phase(onProgress, { subject: capture.id, phase: "make whole", detail }, () =>
    freezeWhole(context, captures, capture, signal),
  );
  try {
    return await describe(context, captures, capture, {
      id,
      snapshot: snapshot.id,
      digest: await context.store.digest(snapshot.id),
    });
  } catch (error) {
    await context.store.remove(snapshot.id);
    throw error;
  }
}

async function freezeWhole(
  context: LiveContext,
  captures: CaptureStore,
  capture: StoredCapture,
  signal: AbortSignal,
): Promise<StoredSnapshot> {
  const { home, store } = context;
  const base = await store.get(capture.manifest.base.snapshot);
  const id = `build-${randomId()}`;
  const stateDir = join(home.builds, id);
  const draft = join(stateDir, "snapshot");
  await mkdir(draft, { recursive: true });
  try {
    const { layers, build, imported } = await withMachine(
      context,
      captures,
      { capture, paused: true, signal },
      (machine) => machine.freezeLive({ id, stateDir, dir: draft }, signal),
    );
    if (imported) await markImported(draft);
    const { warm, defaults } = base.manifest;
    const { resources, needs } = capture.manifest;
    const about = { createdAt: new Date().toISOString(), template: null, variantOf: null, bootedFrom: null };
    return await store.publish(
      draft,
      { ...about, warm, defaults, resources, needs: { ...needs, build } },
      signal,
      layers,
    );
  } finally {
    await rm(stateDir, { recursive: true, force: true });
  }
}

async function describe(
  { home }: LiveContext,
  captures: CaptureStore,
  { dir, file, manifest }: StoredCapture,
  made: { id: string; snapshot: string; digest: string },
): Promise<StoredCapture> {
  const { id, ...base } = made;
  const draft = join(home.builds, `build-${randomId()}`);
  await mkdir(draft);
  try {
    // The state before the command is the base's that was, which this one does not bring along.
    const whole = caseFile.parse({ ...file, id, before: "unknown", base: { ...file.base, ...base } });
    await writeFile(join(draft, "case.json"), `${JSON.stringify(whole, null, 2)}\n`, { mode: 0o444 });
    const parts: CapturePart[] = [{ name: "case.json", ...(await describePart(join(draft, "case.json"))) }];
    for (const name of KEPT) {
      const part = manifest.parts.find((one) => one.name === name);
      if (!part) continue;
      await copyFile(join(dir, name), join(draft, name), constants.COPYFILE_FICLONE);
      parts.push(part);
    }
    // What its memory is looked through for before it leaves the host.
    if (await captures.secrets(file.id)) await copyFile(join(dir, SECRETS_FILE), join(draft, SECRETS_FILE));
    return await captures.publish(
      draft,
      captureManifest.parse({ ...manifest, id, base, memory: "whole", parts }),
    );
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}
