/** The engine's objects in the API's shapes. */

import type { Capture, Exec, Sandbox, Snapshot, Template } from "../api/schema.ts";
import type { StoredCapture } from "../engine/captures/store.ts";
import type { Engine } from "../engine/engine.ts";
import type { Exec as EngineExec } from "../engine/execs/exec.ts";
import { shownReason } from "../engine/sandboxes/end-state.ts";
import type { Sandbox as EngineSandbox } from "../engine/sandboxes/sandbox.ts";
import type { StoredSnapshot } from "../engine/snapshots/store.ts";
import { tagOf } from "../engine/sources.ts";
import type { Recipe } from "../engine/templates/recipe.ts";

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
    expiresAt: sandbox.record.timers.expiresAt,
    execs: [...sandbox.execs.values()].map(execView),
  };
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

export async function templateView(engine: Engine, recipe: Recipe): Promise<Template> {
  const { cpus, memory, disk } = recipe.resources;
  return {
    name: recipe.name,
    description: recipe.description,
    tag: tagOf(recipe),
    from: recipe.from,
    resources: { cpus, memoryMib: memory, diskMib: disk },
    snapshot: (await engine.sources.built(recipe))?.id ?? null,
  };
}
