/** A machine that nobody has asked for yet. */
import { randomId } from "../ids.ts";
import type { Parts } from "../parts.ts";
import type { PoolHost, PoolKey } from "../pool/pools.ts";
import { makeSandboxDir } from "../sandboxes/dir.ts";
import { noTimers } from "../sandboxes/record.ts";
import type { Sandbox } from "../sandboxes/sandbox.ts";
import { isFrozenLive } from "../snapshots/manifest.ts";
import type { StoredSnapshot } from "../snapshots/store.ts";
import { hasShipped } from "../templates/shipped.ts";
import { needOf, sizeOf } from "./need.ts";
import { newSandbox } from "./thaw.ts";

/** @param parts called when they are there */
export function poolHost(parts: () => Parts, templatesDir: string): PoolHost {
  return {
    resolve: (key, signal) => resolve(parts(), templatesDir, key, signal),
    make: (snapshot, signal) => makeSpare(parts(), snapshot, signal),
    discard: (spare) => spare.remove().catch(() => {}),
    isBusy: () => parts().thaws.isBusy,
  };
}

/** A shipped template by its name, else a snapshot. */
async function resolve(
  { sources, config, admission }: Parts,
  templatesDir: string,
  { name, only, cpus, memoryMib }: PoolKey,
  signal: AbortSignal,
): Promise<StoredSnapshot> {
  config.required();
  const options = { onProgress: () => {}, signal };
  const isTemplate = only === undefined && (await hasShipped(templatesDir, name));
  const source = isTemplate ? { template: name } : { snapshot: only ?? name };
  const { snapshot } = await sources.resolve(source, options);
  admission.checkSize({ name: "of a pool", ...sizeOf(snapshot, { cpus, memoryMib }) });
  return sources.withResources(snapshot, { cpus, memoryMib }, options);
}

/** No record of it is written: what a daemon that was killed leaves, the next one clears away. */
async function makeSpare(parts: Parts, snapshot: StoredSnapshot, signal: AbortSignal): Promise<Sandbox> {
  const { admission, room, snapshots, thaws } = parts;
  const id = randomId();
  await room.needDisk();
  const need = await needOf(parts, { id, name: "of a pool" }, snapshot.manifest.resources, snapshot.id);
  admission.admitSpare(need);
  const sandbox = newSandbox(parts, {
    ...{ id, name: id, from: "pool", timers: noTimers(), labels: {}, leased: false, snapshot },
    ...{ asked: performance.now(), signal },
  });
  sandbox.onGone = async () => admission.free(id);
  try {
    await makeSandboxDir(sandbox.dir);
    const files = await snapshots.checkForThaw(snapshot);
    const options = { signal, frozenLive: isFrozenLive(snapshot.manifest) };
    await thaws.run(() => sandbox.prepare(files, options));
  } catch (error) {
    await sandbox.remove().catch(() => {});
    throw error;
  }
  admission.started(id);
  return sandbox;
}
