/** What a guest is asked before it is captured, and what is known of its inside, for people: its processes and its console. */
import type { GuestReport } from "../../api/guest.ts";
import { paced } from "../../host/pace.ts";
import type { Agent } from "../../runners/agent/agent.ts";
import type { Isolation, Machine } from "../../runners/runner.ts";

/**
 * A capture does not wait longer for what the guest tells of itself, nor for its files to be written out: it may have gigabytes to write, or a
 * disk that hangs. Emulated guests are slower.
 */
const ANSWER_DEADLINE_MS = { kvm: 1_000, emulated: 2_000 };
const CONSOLE_LINES = 100;

/** Processes and listeners, as the guest tells them; nothing when it does not in time. */
export async function inspectGuest(agent: Agent | null, isolation: Isolation): Promise<GuestReport> {
  const nothing = { processes: [], listening: [] };
  if (!agent) return nothing;
  const late = new Promise<typeof nothing>((resolve) =>
    setTimeout(resolve, paced(deadlineOf(isolation)), nothing).unref(),
  );
  const told = agent.processes().then(({ processes, listening }) => ({ processes, listening }));
  return Promise.race([told.catch(() => nothing), late]);
}

/** Has the guest write its files out. @returns whether it said in time that all that was written before the call is on its disk */
export async function syncGuest(agent: Agent | null, isolation: Isolation): Promise<boolean> {
  return agent === null ? false : agent.sync(deadlineOf(isolation)).catch(() => false);
}

function deadlineOf(isolation: Isolation): number {
  return ANSWER_DEADLINE_MS[isolation === "kvm" ? "kvm" : "emulated"];
}

/** The last lines of the guest's console. Untrusted. */
export async function consoleLines(machine: Machine | null): Promise<string[]> {
  const text = await machine?.console().catch(() => "");
  return (text ?? "").trimEnd().split("\n").slice(-CONSOLE_LINES);
}
