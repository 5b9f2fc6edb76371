/** What an event says has changed. Pure: who follows a host asks for what is named here. */
import type { Event } from "../../api/schema.ts";

/** Something to ask the host for again, or to forget. */
export type Change =
  | { kind: "sandboxes" | "captures" | "snapshots"; id: string; isGone: boolean }
  | { kind: "templates" };

const kinds = { capture: "captures", snapshot: "snapshots" } as const;

export function changesOf(event: Pick<Event, "type" | "target" | "sandbox">): Change[] {
  const [subject, verb] = event.type.split(".");
  const isGone = verb === "removed";
  if (subject === "sandbox" || subject === "exec" || subject === "port") {
    const id = subject === "sandbox" ? event.target : event.sandbox;
    return id === null ? [] : [{ kind: "sandboxes", id, isGone: isGone && subject === "sandbox" }];
  }
  if (subject === "capture") {
    // what can't be captured has no capture
    return verb === "failed" ? [] : [{ kind: kinds.capture, id: event.target, isGone }];
  }
  if (subject === "snapshot")
    return [{ kind: kinds.snapshot, id: event.target, isGone }, { kind: "templates" }];
  return subject === "template" ? [{ kind: "templates" }] : [];
}
