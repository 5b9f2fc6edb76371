/** What happened, as a record. */
import { z } from "zod";
import { apiError } from "./error.ts";
import { execExit } from "./exec.ts";

export const eventTypes = [
  "sandbox.creating",
  "sandbox.running",
  "sandbox.paused",
  "sandbox.unresponsive",
  "sandbox.stopped",
  "sandbox.failed",
  "sandbox.removing",
  "sandbox.removed",
  "sandbox.extended",
  "sandbox.labelled",
  "port.opened",
  "port.closed",
  "exec.started",
  "exec.ended",
  "snapshot.created",
  "snapshot.tagged",
  "snapshot.removed",
  "capture.created",
  "capture.failed",
  "capture.verified",
  "capture.scanned",
  "capture.removed",
  "template.built",
  "daemon.started",
  "daemon.stopped",
  "clock.jumped",
] as const;
export type EventType = (typeof eventTypes)[number];

const common = {
  /** Rises by one for each event of a host, also over restarts of its daemon. */
  id: z.int().min(1),
  time: z.string(),
  /** What it is about: the id of a sandbox, an exec, a snapshot or a capture; a template's name. */
  target: z.string(),
  /** How people call that. */
  name: z.string(),
  /** The sandbox's id, for events of a sandbox and its execs. */
  sandbox: z.string().nullable(),
};

/** An event as it is kept: details of an older or a newer thaw may be others. */
export const eventRecord = z.object({
  ...common,
  type: z.enum(eventTypes),
  details: z.record(z.string(), z.unknown()),
});

function eventOf<T extends EventType, D extends z.ZodRawShape>(type: T, details: D) {
  return z.object({ ...common, type: z.literal(type), details: z.object(details) });
}

/** Why, where that is not plain. */
const reason = z.string().optional();
const imported = z.boolean().optional();
const freed = { reason, bytes: z.number().optional() };

export const event = z.discriminatedUnion("type", [
  eventOf("sandbox.creating", { from: z.string(), labels: z.record(z.string(), z.string()) }),
  eventOf("sandbox.running", { reason }),
  eventOf("sandbox.paused", { reason }),
  eventOf("sandbox.unresponsive", { reason }),
  eventOf("sandbox.stopped", { reason }),
  eventOf("sandbox.failed", { reason }),
  eventOf("sandbox.removing", { reason }),
  eventOf("sandbox.removed", { reason }),
  eventOf("sandbox.extended", { expiresAt: z.string() }),
  eventOf("sandbox.labelled", { labels: z.record(z.string(), z.string()) }),
  eventOf("exec.started", { argv: z.array(z.string()) }),
  eventOf("exec.ended", { exit: execExit.nullable(), error: apiError.nullable() }),
  eventOf("snapshot.created", { imported }),
  eventOf("snapshot.tagged", {}),
  eventOf("snapshot.removed", freed),
  eventOf("capture.created", {
    ...{ imported, trigger: z.string().optional(), exec: z.string().nullable().optional() },
    storedBytes: z.number().optional(),
  }),
  eventOf("capture.failed", { reason }),
  eventOf("capture.verified", { ok: z.boolean(), resumeMs: z.number().optional(), reason }),
  eventOf("capture.scanned", { kinds: z.array(z.string()) }),
  eventOf("capture.removed", freed),
  eventOf("template.built", { snapshot: z.string() }),
  eventOf("daemon.started", { sandboxes: z.int() }),
  eventOf("daemon.stopped", { sandboxes: z.int() }),
  eventOf("clock.jumped", { jumpMs: z.int() }),
]);
export type Event = z.infer<typeof event>;
/** As the engine makes and keeps it. */
export type EventRecord = z.infer<typeof eventRecord>;

export const eventsQuery = z.object({
  /** Events after this id; without it, only what happens from now on (with `follow=0`: all that is kept). */
  since: z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER).optional(),
  /** A sandbox's id, name or unique prefix: its events and its execs'. */
  sandbox: z.string().max(200).optional(),
  /** `0`: end after what there is. */
  follow: z.enum(["0", "1"]).default("1"),
});
