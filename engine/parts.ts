/** The parts of an engine, as its verbs use them. */
import type { Runners } from "../runners/runners.ts";
import type { Admission } from "./admission.ts";
import type { Archive } from "./archive.ts";
import type { Audit } from "./audit.ts";
import type { Caches } from "./caches/caches.ts";
import type { Captures } from "./captures/captures.ts";
import type { Gate } from "./concurrency.ts";
import type { HostConfig } from "./config.ts";
import type { EventLog } from "./events/log.ts";
import type { LogBudget } from "./execs/log-budget.ts";
import type { Home } from "./home.ts";
import type { Leases } from "./leases.ts";
import type { Clock } from "./lifecycle/clock.ts";
import type { Lifecycle } from "./lifecycle/lifecycle.ts";
import type { Pools } from "./pool/pools.ts";
import type { Room } from "./room.ts";
import type { HostSocketRules } from "./sandboxes/host-socket.ts";
import type { SandboxRegistry } from "./sandboxes/registry.ts";
import type { Sandbox } from "./sandboxes/sandbox.ts";
import type { SnapshotStore } from "./snapshots/store.ts";
import type { Sources } from "./sources.ts";
import type { Quarantine } from "./state/quarantine.ts";

export interface Parts {
  readonly home: Home;
  /** Of forwards. */
  readonly hostSockets: HostSocketRules;
  readonly config: HostConfig;
  readonly clock: Clock;
  readonly runner: Runners;
  readonly registry: SandboxRegistry;
  readonly snapshots: SnapshotStore;
  readonly sources: Sources;
  readonly captures: Captures;
  readonly caches: Caches;
  readonly archive: Archive;
  readonly room: Room;
  readonly admission: Admission;
  readonly leases: Leases;
  readonly lifecycle: Lifecycle<Sandbox>;
  readonly audit: Audit;
  readonly events: EventLog;
  /** State that could not be read. */
  readonly quarantine: Quarantine;
  readonly logs: LogBudget;
  readonly pools: Pools;
  /** Thaws at the same time. */
  readonly thaws: Gate;
}
