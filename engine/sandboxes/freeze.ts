/** A new snapshot of a sandbox that goes on running. */
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { DifferenceVerdict, LiveFreeze } from "../../runners/runner.ts";
import type { Runners } from "../../runners/runners.ts";
import type { Admission } from "../admission.ts";
import type { Home } from "../home.ts";
import { randomId } from "../ids.ts";
import type { HostNetwork } from "../network/host.ts";
import { mib, type OnProgress, phase } from "../progress.ts";
import { markImported, type SnapshotStore, type StoredSnapshot } from "../snapshots/store.ts";
import { writeAsked } from "../state/asked.ts";
import type { Subject } from "./subject.ts";

export interface LiveContext {
  home: Home;
  store: SnapshotStore;
  runner: Runners;
  admission: Pick<Admission, "withSecond" | "withHelper">;
  hostNetwork: HostNetwork;
  /** Throws `no-space` when there would be less than the host keeps free. */
  needDisk(bytes?: number): Promise<void>;
}

export interface LiveOptions {
  onProgress: OnProgress;
  signal: AbortSignal;
  /** Id of the client's request, kept with the snapshot. */
  request?: string | undefined;
}

/** Whether a difference of the sandbox can be taken and thawed here; found out with a clone of its snapshot when nothing is known. */
export async function differenceVerdict(
  context: LiveContext,
  sandbox: Subject,
  options: LiveOptions,
): Promise<DifferenceVerdict> {
  const verdict = await hostVerdict(context, sandbox, options);
  const reason = verdict.state === "works" ? await sandbox.whyNoDifference() : null;
  return reason === null ? verdict : { state: "broken", reason };
}

async function hostVerdict(
  { home, store, runner: runners }: LiveContext,
  sandbox: Subject,
  { onProgress, signal }: LiveOptions,
): Promise<DifferenceVerdict> {
  const runner = runners.of(sandbox.record.runner);
  const known = await runner.difference();
  if (known.state !== "unproven") return known;
  const snapshot = await store.checkForThaw(await store.get(sandbox.record.snapshot));
  const id = `build-${randomId()}`;
  const stateDir = join(home.builds, id);
  await mkdir(stateDir, { recursive: true, mode: 0o711 });
  try {
    return await phase(onProgress, { subject: "host", phase: "self-test", detail: describeVerdict }, () =>
      runner.difference({ snapshot, place: { id, stateDir } }, signal),
    );
  } finally {
    await rm(stateDir, { recursive: true, force: true });
  }
}

function describeVerdict(verdict: DifferenceVerdict): string {
  return verdict.state === "works" ? "differences work" : `no differences: ${verdict.reason}`;
}

export interface FrozenSandbox extends LiveFreeze {
  snapshot: StoredSnapshot;
}

/** Half-made things are removed; a daemon killed meanwhile leaves a folder in `builds` for the next. */
export async function freezeSandbox(
  context: LiveContext,
  sandbox: Subject,
  options: LiveOptions,
): Promise<FrozenSandbox> {
  sandbox.allowLive("freeze");
  await differenceVerdict(context, sandbox, options);
  const { name, resources } = sandbox.record;
  return context.admission.withSecond({ name, memoryMib: resources.memoryMib }, () =>
    freezeTo(context, sandbox, options),
  );
}

async function freezeTo(
  { home, store }: LiveContext,
  sandbox: Subject,
  { onProgress, signal, request }: LiveOptions,
): Promise<FrozenSandbox> {
  const id = `build-${randomId()}`;
  const stateDir = join(home.builds, id);
  const draft = join(stateDir, "snapshot");
  await mkdir(draft, { recursive: true });
  const subject = sandbox.record.name;
  try {
    const base = await store.get(sandbox.record.snapshot);
    const frozen = await phase(onProgress, { subject, phase: "freeze", detail: describePause }, () =>
      sandbox.freezeLive({ id, stateDir, dir: draft }, signal),
    );
    const { pauseMs, converged, imported } = frozen;
    if (imported) await markImported(draft);
    if (request !== undefined) await writeAsked(draft, { request, pauseMs, converged });
    const snapshot = await phase(
      onProgress,
      {
        subject,
        phase: "publish",
        detail: ({ manifest }: StoredSnapshot) =>
          mib(manifest.parts.reduce((sum, part) => sum + part.storedBytes, 0)),
      },
      () =>
        store.publish(
          draft,
          {
            createdAt: new Date().toISOString(),
            template: null,
            warm: base.manifest.warm,
            variantOf: null,
            bootedFrom: null,
            resources: sandbox.record.resources,
            needs: { ...base.manifest.needs, build: frozen.build },
            defaults: sandbox.record.defaults,
          },
          signal,
          frozen.layers,
        ),
    );
    return { ...frozen, snapshot };
  } finally {
    await rm(stateDir, { recursive: true, force: true });
  }
}

function describePause({ pauseMs, converged }: LiveFreeze): string {
  const paused = `paused for ${pauseMs.toFixed(0)} ms`;
  return converged ? paused : `${paused}: it had to be stopped`;
}
