import type { CacheRequest } from "../../api/cache.ts";
import type { NetworkPolicy } from "../../api/network.ts";
import type { ForwardRequest } from "../../api/ports.ts";
import { needCapabilities } from "../capabilities.ts";
import { openReplay, type Replay } from "../captures/replay.ts";
import type { Config } from "../config.ts";
import { EngineError } from "../errors.ts";
import { interruptible } from "../interruptible.ts";
import { timersFor } from "../lifecycle/time-limits.ts";
import type { TimerRequest } from "../lifecycle/timers.ts";
import { noNetwork } from "../network/policy.ts";
import type { Parts } from "../parts.ts";
import type { Sandbox } from "../sandboxes/sandbox.ts";
import type { ResolveOptions, SourceRequest } from "../sources.ts";
import { part } from "../tracing.ts";
import { sizeOf } from "./need.ts";
import { policyFor } from "./network.ts";
import { obtain } from "./obtain.ts";

export interface CreateOptions extends ResolveOptions, TimerRequest {
  source: SourceRequest;
  name?: string | undefined;
  labels: Record<string, string>;
  cpus?: number | undefined;
  memoryMib?: number | undefined;
  /** Ends with its client. */
  leased: boolean;
  /** Leased only until its command has ended. */
  keep?: boolean | undefined;
  /** Id of the client's request, by which `madeBy` finds the sandbox. */
  request?: string | undefined;
  /** What it may reach, beyond the host's defaults. */
  network?: Parameters<typeof policyFor>[1];
  /** Folders in it that survive it. */
  cache?: CacheRequest | undefined;
  /** Ports of the host that lead into it. */
  ports?: readonly ForwardRequest[] | undefined;
  /** How long to wait in line for room; 0: refuse at once. */
  waitMs?: number | undefined;
}

/** Thaws a sandbox; builds what is missing first unless a snapshot was named. On failure nothing is left. */
export function create(parts: Parts, options: CreateOptions): Promise<Sandbox> {
  const asked = performance.now();
  return interruptible(options.signal, async () => {
    const { registry, config, clock, archive, room, sources } = parts;
    const limits = config.required();
    const { source, signal, onProgress, waitMs = 0, labels, leased, keep, request } = options;
    if (options.cache !== undefined && source.capture !== undefined)
      throw new EngineError(
        "usage",
        "cache can't be used with capture: a replay already has its cached folders",
      );
    const name = options.name ?? (await replayName(parts, source.capture));
    const timers = timersFor(limits, name, options, clock.wall());
    const network = await networkOf(parts, limits, options);
    const runner = await sources.runnerOf(
      source,
      async () => (await parts.captures.store.get(source.capture ?? "")).manifest,
    );
    const needed = {
      memorySnapshots: true,
      pause: typeof options.idleMs === "number",
      liveFreeze: typeof options.stopAfterMs === "number",
      caches: options.cache !== undefined,
      egress: network.mode !== "none" || network.rules.some(({ action }) => action === "allow"),
      ownDisk: source.level === "disk",
    };
    needCapabilities(runner, "create a sandbox", needed, parts.runner);
    if (name !== undefined) registry.claim(name);
    let handedOn = false;
    let replay: Replay | undefined;
    try {
      await room.needDisk();
      using _replayed = await holdCapture(parts, source.capture);
      replay = await openCapture(parts, options);
      const { snapshot: found, from } = replay
        ? { snapshot: replay.snapshot, from: replay.capture.id }
        : await part("resolve", () => sources.resolve(source, options));
      // Before a snapshot of that size is made, which takes a boot.
      parts.admission.checkSize({ name: name ?? from, ...sizeOf(found, options) });
      const snapshot = await sources.withResources(found, options, options);
      using _thawed = archive.holds.take(snapshot.id);
      using cache = options.cache && (await parts.caches.open(options.cache, snapshot, signal));
      const secrets = replay ? await parts.captures.store.secrets(replay.capture.id) : null;
      const { origin, defaults } = replay ?? {};
      handedOn = true;
      return await obtain(parts, {
        ...{ name, from, timers, labels, leased, keep, request, snapshot, asked, signal },
        ...{ defaults, origin, secrets, network, cache, ports: options.ports, waitMs, onProgress },
        replay: replay && { ...replay, exact: source.exact === true },
      }).catch(async (error: unknown) => {
        throw cache ? await cache.explain(error) : error;
      });
    } catch (error) {
      if (name !== undefined && !handedOn) registry.release(name);
      throw error;
    } finally {
      await replay?.origin?.release();
    }
  });
}

/** A replay reaches nothing, whatever the host's defaults. */
async function networkOf(
  { sources }: Parts,
  config: Config,
  { source, network }: CreateOptions,
): Promise<NetworkPolicy> {
  if (source.capture === undefined) {
    if (source.snapshot !== undefined) return policyFor(config, network);
    const { name, sandboxes } = await sources.recipe(source);
    return policyFor(config, network, { name, layer: sandboxes.network });
  }
  if (network !== undefined && network.length > 0)
    throw new EngineError("usage", "network can't be used with capture: a replay has no network");
  return noNetwork("replay");
}

async function openCapture(parts: Parts, options: CreateOptions): Promise<Replay | undefined> {
  const { archive, captures } = parts;
  const { capture, level } = options.source;
  if (capture === undefined) return undefined;
  const found = await captures.store.get(capture);
  const { onProgress, signal } = options;
  const context = { ...archive.live, ...archive.checking };
  return openReplay(context, captures.store, found, { level, onProgress, signal });
}

async function holdCapture(parts: Parts, reference: string | undefined): Promise<Disposable | null> {
  if (reference === undefined) return null;
  return parts.archive.holds.take((await parts.captures.store.get(reference)).id);
}

/** `replay-7k2qxz`, with a number when there is one already. */
async function replayName(parts: Parts, reference: string | undefined): Promise<string | undefined> {
  if (reference === undefined) return undefined;
  const { id } = await parts.captures.store.get(reference);
  return parts.registry.freeName(`replay-${id.slice(id.indexOf("-") + 1)}`);
}
