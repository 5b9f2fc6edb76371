/** What happened, as a record. */
import { z } from "zod";

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

export const event = z.object({
  /** Rises by one for each event of a host, also over restarts of its daemon. */
  id: z.int().min(1),
  time: z.string(),
  type: z.enum(eventTypes),
  /** What it is about: the id of a sandbox, an exec, a snapshot or a capture; a template's name. */
  target: z.string(),
  /** How people call that. */
  name: z.string(),
  /** The sandbox's id, for events of a sandbox and its execs. */
  sandbox: z.string().nullable(),
  details: z.record(z.string(), z.unknown()),
});
export type Event = z.infer<typeof event>;
export type EventType = Event["type"];

export const eventsQuery = z.object({
  /** Events after this id; without it, only what happens from now on (with `follow=0`: all that is kept). */
  since: z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER).optional(),
  /** A sandbox's id, name or unique prefix: its events and its execs'. */
  sandbox: z.string().max(200).optional(),
  /** `0`: end after what there is. */
  follow: z.enum(["0", "1"]).default("1"),
});
