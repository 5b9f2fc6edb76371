/** What happened, as a record. */
import { z } from "zod";
import { apiError } from "./error.ts";
import { execExit } from "./exec.ts";

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

function eventOf<T extends string, D extends z.ZodRawShape>(type: T, details: D) {
  return z.object({ ...common, type: z.literal(type), details: z.object(details) });
}

/** Why, where that is not plain. */
const reason = z.string().optional();
const imported = z.boolean().optional();
const freed = { reason, bytes: z.number().optional() };

/** The one list of what is told: a type that is not here is told by nobody. */
const EVENTS = [
  eventOf("sandbox.creating", { from: z.string(), labels: z.record(z.string(), z.string()) }),
  eventOf("sandbox.running", { reason }),
  eventOf("sandbox.paused", { reason }),
  eventOf("sandbox.unresponsive", { reason }),
  eventOf("sandbox.stopped", { reason }),
  eventOf("sandbox.failed", { reason }),
  eventOf("sandbox.removing", { reason }),
  eventOf("sandbox.removed", { reason }),
  eventOf("sandbox.extended", { expiresAt: z.string() }),
  eventOf("sandbox.retimed", { expiresAt: z.string().nullable() }),
  eventOf("sandbox.renamed", { before: z.string() }),
  eventOf("sandbox.labelled", { labels: z.record(z.string(), z.string()) }),
  eventOf("exec.started", { argv: z.array(z.string()) }),
  eventOf("exec.ended", { exit: execExit.nullable(), error: apiError.nullable() }),
  eventOf("snapshot.created", { imported }),
  eventOf("snapshot.tagged", {}),
  eventOf("snapshot.removed", freed),
  eventOf("capture.created", {
    ...{ imported, trigger: z.string().optional(), exec: z.string().nullable().optional() },
    storedBytes: z.number().optional(),
    /** How long the machine stood still, and how long it took to store what was frozen. */
    ...{ pauseMs: z.number().optional(), storeMs: z.number().optional() },
  }),
  eventOf("capture.failed", { reason }),
  eventOf("capture.verified", { ok: z.boolean(), resumeMs: z.number().optional(), reason }),
  eventOf("capture.scanned", { kinds: z.array(z.string()) }),
  eventOf("capture.removed", freed),
  eventOf("port.opened", { port: z.int() }),
  eventOf("port.closed", { port: z.int() }),
  eventOf("template.built", { snapshot: z.string() }),
  eventOf("daemon.started", { sandboxes: z.int() }),
  eventOf("daemon.stopped", { sandboxes: z.int() }),
  eventOf("clock.jumped", { jumpMs: z.int() }),
] as const;

export const event = z.discriminatedUnion("type", EVENTS);
export type Event = z.infer<typeof event>;
export type EventType = Event["type"];
/** What is told with events of a type. */
export type EventDetails<T extends EventType> = Extract<Event, { type: T }>["details"];
const eventTypes: EventType[] = EVENTS.map(({ shape }) => shape.type.value);

/** An event as it is kept: details of an older or a newer thaw may be others. */
export const eventRecord = z.object({
  ...common,
  type: z.enum(eventTypes),
  details: z.record(z.string(), z.unknown()),
});
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
