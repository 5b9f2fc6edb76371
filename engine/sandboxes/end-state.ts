/** What a machine's end makes of its sandbox, and the reason in words. Pure. */
import type { MachineEnd } from "../../runners/runner.ts";
import type { SandboxRecord } from "./record.ts";

/** The machine stands still and is not over. */
type Held = Extract<MachineEnd, { kind: "disk-full" | "disk-failed" }>;

/** @param console the guest's last lines, after a panic */
export function endState(
  end: Exclude<MachineEnd, Held>,
  console: readonly string[],
): { state: "stopped" | "failed"; reason: string } {
  switch (end.kind) {
    case "powered-off":
      return { state: "stopped", reason: "the guest powered off" };
    case "rebooted":
      return { state: "stopped", reason: "the guest asked for a reboot" };
    case "panicked":
      return { state: "failed", reason: `the guest's kernel panicked: ${panicLine(console)}` };
    case "exited":
      return { state: "failed", reason: `its machine ended: ${end.detail}` };
  }
}

/** Why it is paused. */
export function heldReason({ kind, detail }: Held, name: string): string {
  return kind === "disk-full"
    ? `${detail}; it goes on by itself when there is room: thaw rm, thaw prune`
    : `${detail}; mend it, then thaw resume ${name}`;
}

/** The reason that people are shown: also that a machine which was ended is still there. */
export function shownReason({ state, reason, lingers }: SandboxRecord): string | null {
  // A removal says so itself.
  if (lingers === null || state === "removing") return reason;
  const still = `its machine is still there and is ended again by itself: ${lingers}`;
  return reason === null ? still : `${reason}; ${still}`;
}

function panicLine(lines: readonly string[]): string {
  return (lines.find((line) => line.includes("Kernel panic")) ?? lines.at(-1) ?? "").trim();
}
