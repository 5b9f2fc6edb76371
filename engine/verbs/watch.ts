/** Adds a sandbox to the registry, and reports what becomes of it: events, admission, timers, leases, logs. */
import type { EventDetails, EventType } from "../../api/event.ts";
import type { Exec } from "../execs/exec.ts";
import type { Parts } from "../parts.ts";
import type { Sandbox } from "../sandboxes/sandbox.ts";
import { forgetRemoved } from "./remove.ts";
import { wake } from "./wake.ts";

export interface Watched {
  tell<T extends EventType>(type: T, details: EventDetails<T>): void;
}

export function watch(parts: Parts, sandbox: Sandbox): Watched {
  const { id, record } = sandbox;
  const { registry, events, admission, lifecycle, leases, logs, room, runner } = parts;
  const tell: Watched["tell"] = (type, details) =>
    events.append({ type, target: id, name: record.name, sandbox: id, details });
  registry.add(sandbox);
  sandbox.onWake = (thaw, signal) => wake(parts, sandbox, thaw, signal);
  const grew = (): void => {
    if (runner.capabilities.diskGrowth) void room.disk.grew(sandbox);
  };
  sandbox.on("transition", ({ to, reason }) => {
    // A removal is news when it is over, or takes longer.
    if (to !== "creating" && to !== "removing") tell(`sandbox.${to}`, reason === null ? {} : { reason });
    lifecycle.poke();
    grew();
    if (record.heldBy !== null) room.disk.held();
  });
  // A machine that was ended and does not die takes memory as before.
  sandbox.on("lingers", () => admission.adopt(id, record.resources.memoryMib));
  sandbox.on("cleared", () => {
    if (!sandbox.takesMachine) admission.ended(id);
  });
  sandbox.on("portsChanged", ({ opened, closed }) => {
    for (const port of opened) tell("port.opened", { port });
    for (const port of closed) tell("port.closed", { port });
  });
  sandbox.on("diskGrew", grew);
  if (record.heldBy !== null) room.disk.held();
  sandbox.on("ended", () => {
    if (record.leased) leases.afterEnd(id);
  });
  const tellExec = <T extends EventType>(type: T, { record: exec }: Exec, details: EventDetails<T>) =>
    events.append({ type, target: exec.id, name: record.name, sandbox: id, details });
  sandbox.on("execStarted", (exec) => tellExec("exec.started", exec, { argv: exec.record.argv.slice(0, 8) }));
  sandbox.on("execEnded", (exec) => {
    const { exit, error } = exec.record;
    tellExec("exec.ended", exec, { exit, error });
    void logs.settle(sandbox, () => registry.present);
  });
  sandbox.on("delayed", (reason) => tell("sandbox.removing", { reason }));
  sandbox.onGone = (why) => forgetRemoved(parts, sandbox, why);
  return { tell };
}
