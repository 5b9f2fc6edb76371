import { needCapabilities } from "../capabilities.ts";
import { randomId } from "../ids.ts";
import { interruptible } from "../interruptible.ts";
import { timersFor } from "../lifecycle/time-limits.ts";
import type { Parts } from "../parts.ts";
import { type ForkOrigin, forkOrigin } from "../sandboxes/fork.ts";
import type { Sandbox } from "../sandboxes/sandbox.ts";
import type { ResolveOptions } from "../sources.ts";
import { needOf } from "./need.ts";
import { removeSandbox } from "./remove.ts";
import { thawSandbox } from "./thaw.ts";

export interface ForkOptions extends ResolveOptions {
  count: number;
  /** Children are named PREFIX-1, PREFIX-2, …; absent: by their ids. */
  name?: string | undefined;
  /** Added to the parent's. */
  labels?: Record<string, string> | undefined;
  /** Each child is removed this long after its creation; null: never. */
  ttlMs?: number | null | undefined;
  /** Id of the client's request, by which `madeBy` finds the children. */
  request?: string | undefined;
}

export interface Fork {
  sandboxes: Sandbox[];
  method: ForkOrigin["method"];
  pauseMs: number;
}

interface Child {
  id: string;
  name: string;
  /** Its place among them. */
  index: number;
}

/** Children of a sandbox as it is now, all or none. Each has an identity and a disk of its own; their memory is shared. */
export function fork(parts: Parts, reference: string, options: ForkOptions): Promise<Fork> {
  const asked = performance.now();
  return interruptible(options.signal, async () => {
    const { registry, admission, archive, room, audit, config } = parts;
    needCapabilities(parts.runner, "fork", { liveFreeze: true });
    config.required();
    const parent = registry.find(reference);
    const children: Child[] = Array.from({ length: options.count }, (_, index) => {
      const id = randomId();
      return { id, name: options.name === undefined ? id : `${options.name}-${index + 1}`, index };
    });
    const claimed: string[] = [];
    let origin: ForkOrigin | undefined;
    try {
      for (const { name } of children) {
        registry.claim(name);
        claimed.push(name);
      }
      await room.needDisk();
      const from = await parent.during(() => forkOrigin(archive.live, parent, options));
      origin = from;
      const made = await Promise.allSettled(
        children.map((child) =>
          parts.thaws.run(() => forkOne(parts, { child, parent, origin: from, asked }, options)),
        ),
      );
      const failed = made.find((result) => result.status === "rejected");
      if (failed) throw await parent.explain(failed.reason);
      const sandboxes = made.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
      audit.note("fork", parent.record.name, { count: options.count, snapshot: from.snapshot });
      return { sandboxes, method: from.method, pauseMs: from.pauseMs };
    } catch (error) {
      await Promise.all(children.map(({ id }) => removeSandbox(parts, id).catch(() => {})));
      for (const { id } of children) admission.free(id);
      for (const name of claimed) registry.release(name);
      throw error;
    } finally {
      await origin?.release();
    }
  });
}

/** What its commands get by default is the parent's. */
async function forkOne(
  parts: Parts,
  of: { child: Child; parent: Sandbox; origin: ForkOrigin; asked: number },
  { onProgress, signal, request, labels: added, ttlMs }: ForkOptions,
): Promise<Sandbox> {
  const { child, parent, origin, asked } = of;
  const { name, resources, labels, defaults, secrets, network, trusted } = parent.record;
  const timers = timersFor(parts.config.value, child.name, { ttlMs }, parts.clock.wall());
  const need = await needOf(parts, child, resources, origin.difference?.id ?? origin.snapshot);
  await parts.admission.admit(need, { waitMs: 0, onProgress, signal });
  return thawSandbox(parts, {
    ...{ ...child, from: `fork of ${name}`, timers, labels: { ...labels, ...added }, leased: false, request },
    ...{
      snapshot: await parts.snapshots.get(origin.snapshot),
      ...{ defaults, trusted },
      network,
      origin,
      secrets,
      asked,
      signal,
    },
  });
}
