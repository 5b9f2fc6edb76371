/** The engine's objects in the API's shapes. */

import type { Resources } from "../api/machine.ts";
import type { Capture, Exec, Sandbox, Snapshot, Template } from "../api/schema.ts";
import type { StoredCapture } from "../engine/captures/store.ts";
import type { Engine } from "../engine/engine.ts";
import type { Exec as EngineExec } from "../engine/execs/exec.ts";
import { shownReason } from "../engine/sandboxes/end-state.ts";
import type { Sandbox as EngineSandbox } from "../engine/sandboxes/sandbox.ts";
import type { StoredSnapshot } from "../engine/snapshots/store.ts";
import { tagOf } from "../engine/sources.ts";
import type { KnownTemplate } from "../engine/templates/known.ts";

export function execView({ record }: EngineExec): Exec {
  const { id, sandbox, argv, cwd, user, tty, state, startedAt, endedAt, exit, captured, error } = record;
  return { id, sandbox, argv, cwd, user, tty, state, startedAt, endedAt, exit, captured, error };
}

export function sandboxView(engine: Engine, sandbox: EngineSandbox): Sandbox {
  const { id, name, state, from, snapshot, resources, labels, createdAt, leased, thawMs, replay } =
    sandbox.record;
  return {
    ...{ id, name, state, from, snapshot, resources, labels, createdAt, leased, thawMs, replay },
    reason: shownReason(sandbox.record),
    frozen: sandbox.record.frozen !== null,
    cache: sandbox.record.cache,
    ports: sandbox.record.forwards,
    listening: [...sandbox.listening],
    network: { mode: sandbox.network.mode, unavailable: sandbox.network.unavailable },
    isolation: sandbox.isolation,
    next: engine.next(sandbox),
    ...timersOf(sandbox),
    execs: [...sandbox.execs.values()].map(execView),
  };
}

function timersOf({ record: { timers } }: EngineSandbox) {
  const { expiresAt, idleMs, stopAfterMs, removeAfterMs } = timers;
  return { expiresAt, idleMs, stopAfterMs, removeAfterMs };
}

export async function snapshotView(
  engine: Engine,
  snapshot: StoredSnapshot,
  tags: Map<string, string>,
): Promise<Snapshot> {
  const { template, createdAt, resources, needs, defaults, parts } = snapshot.manifest;
  return {
    ...{ id: snapshot.id, createdAt, resources, needs, defaults, parts },
    tags: [...tags].filter(([, id]) => id === snapshot.id).map(([tag]) => tag),
    template: template?.name ?? null,
    storedBytes: parts.reduce((sum, part) => sum + part.storedBytes, 0),
    usedBy: await engine.archive.usersOf(snapshot.id),
    incompatible: await engine.sources.incompatible(snapshot),
    packages: await engine.packages.summary(snapshot.dir),
  };
}

export async function captureView(engine: Engine, { id, manifest, file }: StoredCapture): Promise<Capture> {
  const [notes, { check }] = await Promise.all([
    engine.captures.store.notes(id),
    engine.archive.checkCapture(id),
  ]);
  const storedBytes = manifest.parts.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  return { ...file, storedBytes, notes, replays: check.best };
}

export async function templateView(
  engine: Engine,
  known: KnownTemplate,
  tags: Map<string, string>,
): Promise<Template> {
  const { name, recipe, outline, shipped, snapshot, snapshots, steps } = known;
  const ownTags = [...tags].filter(([, id]) => id === snapshot?.id).map(([tag]) => tag);
  return {
    name,
    description: (recipe ?? outline)?.description ?? "",
    tag: recipe === null ? (ownTags[0] ?? name) : tagOf(recipe),
    from: (recipe ?? outline)?.from ?? "",
    resources: resourcesOf(known),
    shipped,
    snapshot: snapshot?.id ?? null,
    builtAt: snapshot?.manifest.createdAt ?? null,
    packages: snapshot && (await engine.packages.summary(snapshot.dir)),
    storedBytes: snapshots
      .flatMap(({ manifest }) => manifest.parts)
      .reduce((sum, { storedBytes }) => sum + storedBytes, 0),
    steps: steps.map(({ step, bytes, removal }) => ({
      ...{ id: step.id, name: step.name, createdAt: step.createdAt, bytes },
      usedAt: new Date(step.usedAtMs).toISOString(),
      prunable: removal?.reason ?? null,
      freesBytes: removal?.bytes ?? 0,
    })),
  };
}

/** Of a template without a recipe: what was built of it last. There is at least a snapshot or a step. */
function resourcesOf({ recipe, snapshots, steps }: KnownTemplate): Resources {
  if (recipe !== null) {
    const { cpus, memory, disk } = recipe.resources;
    return { cpus, memoryMib: memory, diskMib: disk };
  }
  const made = snapshots[0]?.manifest ?? steps.at(-1)?.step;
  if (made === undefined) throw new Error("a template without a recipe has a snapshot or a step");
  return made.resources;
}
