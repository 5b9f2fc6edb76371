/** What is known of the inside of a machine, for people: its processes and its console. */
import type { Agent } from "../../runners/agent/agent.ts";
import type { Machine } from "../../runners/runner.ts";
import type { GuestReport } from "./subject.ts";

/** A capture does not wait longer for the guest's report of its processes. */
const INSPECT_DEADLINE_MS = 1000;
const CONSOLE_LINES = 100;

/** Processes and listeners, as the guest tells them; nothing when it does not in time. */
export async function inspectGuest(agent: Agent | null): Promise<GuestReport> {
  const nothing = { processes: [], listening: [] };
  if (!agent) return nothing;
  const late = new Promise<typeof nothing>((resolve) =>
    setTimeout(resolve, INSPECT_DEADLINE_MS, nothing).unref(),
  );
  const told = agent.processes().then(({ processes, listening }) => ({ processes, listening }));
  return Promise.race([told.catch(() => nothing), late]);
}

/** The last lines of the guest's console. Untrusted. */
export async function consoleLines(machine: Machine | null): Promise<string[]> {
  const text = await machine?.console().catch(() => "");
  return (text ?? "").trimEnd().split("\n").slice(-CONSOLE_LINES);
}

/** What a kernel said when it panicked. */
export function panicLine(lines: readonly string[]): string {
  return (lines.find((line) => line.includes("Kernel panic")) ?? lines.at(-1) ?? "").trim();
}
