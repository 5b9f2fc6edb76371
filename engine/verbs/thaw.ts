/** What create, fork, replay and rerun share: a sandbox made of a snapshot, with or without a difference to it. */

import { join } from "node:path";
import type { ExecDefaults } from "../../api/machine.ts";
import type { NetworkPolicy } from "../../api/network.ts";
import type { ForwardRequest } from "../../api/ports.ts";
import type { OpenedCache } from "../caches/caches.ts";
import type { Replay } from "../captures/replay.ts";
import { hostNetwork } from "../network/host.ts";
import { noNetwork } from "../network/policy.ts";
import type { Parts } from "../parts.ts";
import { makeSandboxDir } from "../sandboxes/dir.ts";
import type { ForkOrigin } from "../sandboxes/fork.ts";
import type { SandboxRecord, Timers } from "../sandboxes/record.ts";
import { Sandbox } from "../sandboxes/sandbox.ts";
import type { SealedSecrets } from "../secrets/sealed.ts";
import { isFrozenLive } from "../snapshots/manifest.ts";
import type { StoredSnapshot } from "../snapshots/store.ts";
import { part } from "../tracing.ts";
import { discard } from "./remove.ts";
import { watch } from "./watch.ts";

export interface NewSandbox {
  id: string;
  /** Claimed already. */
  name: string;
  /** What it is thawed from, for people. */
  from: string;
  timers: Timers;
  labels: Record<string, string>;
  /** It ends with its client. */
  leased: boolean;
  /** Leased only until its command has ended. */
  keep?: boolean | undefined;
  /** Nobody needs it when this daemon is gone. */
  temporary?: boolean | undefined;
  /** Id of the client's request. */
  request?: string | undefined;
  /** A request may make several sandboxes: which of them this is. Default 0. */
  index?: number | undefined;
  snapshot: StoredSnapshot;
  /** Instead of the snapshot's. */
  defaults?: ExecDefaults | undefined;
  /** What a machine of the snapshot had become. */
  origin?: ForkOrigin | undefined;
  replay?: (Pick<Replay, "capture" | "level"> & { exact: boolean }) | undefined;
  secrets?: SealedSecrets | null | undefined;
  /** Its parent trusted the authorities of this host. */
  trusted?: boolean | undefined;
  /** Ports and unix sockets of the host that lead into it. */
  ports?: readonly ForwardRequest[] | undefined;
  /** What it may reach. Default: nothing. */
  network?: NetworkPolicy | undefined;
  /** Folders in it that survive it, and the layer that has them. */
  cache?: OpenedCache | undefined;
  /** Prepared under the same id: it is claimed, where others are thawed. */
  spare?: Sandbox | undefined;
  /** When it was asked for, by `performance.now`. */
  asked: number;
  signal: AbortSignal;
}

/** Resolves when its agent has answered. On failure nothing is left of it. Its room was admitted before. */
export function thawSandbox(parts: Parts, made: NewSandbox): Promise<Sandbox> {
  const attributes = {
    "thaw.sandbox": made.id,
    "thaw.snapshot": made.snapshot.id,
    "thaw.spare": made.spare !== undefined,
  };
  return part("thaw", () => thawOrDiscard(parts, made), attributes);
}

async function thawOrDiscard(parts: Parts, made: NewSandbox): Promise<Sandbox> {
  const { id, name, from, snapshot, origin, asked, spare } = made;
  if (spare === undefined) made.signal.throwIfAborted();
  const sandbox = spare ?? newSandbox(parts, made);
  const { record } = sandbox;
  const { machine, machineId } = record;
  if (spare) Object.assign(record, newRecord(made), { machine, machineId });
  const abort = new AbortController();
  const { promise: settled, resolve: settle } = Promise.withResolvers<void>();
  const signal = AbortSignal.any([abort.signal, made.signal]);
  if (spare === undefined) await makeSandboxDir(sandbox.dir);
  parts.registry.creations.set(id, { abort, settled });
  const { tell } = watch(parts, sandbox);
  tell("sandbox.creating", { from, labels: record.labels });
  try {
    // The forwards listen before the machine is made, and the first record has them: when one can't listen, nothing is left.
    record.forwards = await sandbox.forwards.openAll(made.ports ?? []);
    const clone = made.replay === undefined && made.temporary !== true;
    if (spare) {
      await sandbox.persist();
      await sandbox.claim({ signal, clone });
    } else {
      const [files] = await Promise.all([
        origin?.files ?? parts.snapshots.checkForThaw(snapshot),
        sandbox.persist(),
      ]);
      await sandbox.thaw(files, {
        ...{ signal, clone, difference: origin?.difference, cache: made.cache?.layer },
        frozenLive: origin !== undefined || isFrozenLive(snapshot.manifest),
      });
    }
    parts.admission.started(id);
    record.thawMs = performance.now() - asked;
    // One of several is the answer only when all are there.
    if (record.request !== null && made.index === undefined)
      record.request = { ...record.request, answered: true };
    await sandbox.persist();
    signal.throwIfAborted();
  } catch (error) {
    await discard(parts, id);
    throw abort.signal.aborted ? abort.signal.reason : error;
  } finally {
    parts.registry.creations.delete(id);
    settle();
  }
  parts.lifecycle.poke();
  parts.audit.note("create", name, { id, from, snapshot: snapshot.id });
  for (const forward of record.forwards) parts.audit.note("port", name, { id, ...forward });
  return sandbox;
}

/** Nothing is on disk, and no machine made. */
export function newSandbox(parts: Parts, made: NewSandbox): Sandbox {
  return new Sandbox(
    join(parts.home.sandboxes, made.id),
    newRecord(made),
    parts.runner.of(made.snapshot.manifest.needs.runner),
    {
      capturer: parts.captures,
      hostNetwork: hostNetwork(parts.config),
      hostSockets: parts.hostSockets,
    },
  );
}

function newRecord(made: NewSandbox): SandboxRecord {
  const { id, name, from, timers, labels, leased, keep, snapshot, defaults, origin, replay, secrets } = made;
  return {
    ...{ schema: 1, id, name, state: "creating", from, labels, leased, timers },
    snapshot: snapshot.id,
    runner: snapshot.manifest.needs.runner,
    resources: snapshot.manifest.resources,
    defaults: defaults ?? snapshot.manifest.defaults,
    createdAt: new Date().toISOString(),
    keep: keep ?? false,
    request:
      made.request === undefined ? null : { id: made.request, answered: false, index: made.index ?? 0 },
    derived: origin !== undefined,
    replay: replay ? { capture: replay.capture.id, level: replay.level, exact: replay.exact } : null,
    secrets: secrets ?? null,
    network: made.network ?? noNetwork(),
    cache: made.cache?.record ?? null,
    ...{ forwards: [], previews: [], trusted: made.trusted ?? false },
    temporary: made.temporary ?? false,
    changes: [],
    ...{ reason: null, thawMs: null, heldBy: null, frozen: null },
    ...{ ownSnapshot: null, machineId: null, machine: null, lingers: null },
  };
}
