/** The states of a sandbox, how one follows another, and which verbs each allows. Pure; every transition goes through here. */
import type { SandboxState } from "../../api/closed-lists.ts";
import { EngineError } from "../errors.ts";

/**
 * creating → running ⇄ paused → (stopped | failed) → removing → removed. A machine that does not answer is `unresponsive` until it does.
 * Anything may be removed and nothing comes back from that. Stopped ones that are frozen run again, and are
 * paused again when their freezing can't be noted.
 */
const FOLLOWS: Readonly<Record<SandboxState, readonly SandboxState[]>> = {
  creating: ["running", "failed", "removing"],
  running: ["paused", "unresponsive", "stopped", "failed", "removing"],
  paused: ["running", "unresponsive", "stopped", "failed", "removing"],
  unresponsive: ["running", "paused", "stopped", "failed", "removing"],
  stopped: ["running", "paused", "removing"],
  failed: ["removing"],
  removing: ["removed"],
  removed: [],
};

/** A state, or `frozen`: stopped, with all that it takes to go on. */
type Condition = SandboxState | "frozen";

/** What may be asked of a sandbox, by state. A paused one and a frozen one are woken by `exec` and `files`. */
const VERBS = {
  exec: ["running", "paused", "frozen"],
  files: ["running", "paused", "frozen"],
  pause: ["running"],
  resume: ["paused", "frozen"],
  stop: ["running", "paused"],
  freeze: ["running", "paused"],
  fork: ["running", "paused"],
  stats: ["running", "paused"],
  extend: ["running", "paused", "unresponsive", "stopped", "frozen", "failed"],
  rm: ["creating", "running", "paused", "unresponsive", "stopped", "frozen", "failed", "removing"],
} as const satisfies Record<string, readonly Condition[]>;
export type Verb = keyof typeof VERBS;
export const verbs = Object.keys(VERBS) as Verb[];

/** @param frozen whether it is frozen while `stopped`: only then it comes back */
export function mayFollow(from: SandboxState, to: SandboxState, frozen = false): boolean {
  return FOLLOWS[from].includes(to) && (from !== "stopped" || to === "removing" || frozen);
}

/** Whether it has a machine, or is getting one. */
export function isLive(state: SandboxState): boolean {
  return state === "creating" || state === "running" || state === "paused" || state === "unresponsive";
}

/** Whether it is past its life: it has no machine that could answer any more, or is being removed. */
export function isOver(state: SandboxState): boolean {
  return !isLive(state);
}

/** Whether its machine may still be there. One that is being removed counts until it is gone. */
export function ownsMachine(state: SandboxState): boolean {
  return isLive(state) || state === "removing";
}

export function allows(state: Condition, verb: Verb): boolean {
  return (VERBS[verb] as readonly Condition[]).includes(state);
}

export function allowedVerbs(state: Condition): Verb[] {
  return verbs.filter((verb) => allows(state, verb));
}

/** Throws `internal`: a transition that is not in the table is a mistake of ours. */
export function checkTransition(name: string, from: SandboxState, to: SandboxState, frozen = false): void {
  if (!mayFollow(from, to, frozen))
    throw new EngineError("internal", `sandbox ${name} can't become ${to}: it is ${from}`);
}

const HINTS: Partial<Record<Condition, (name: string) => string>> = {
  unresponsive: (name) => `thaw keeps trying to reach its machine; to remove it: thaw rm ${name}`,
  stopped: (name) => `thaw rm ${name}`,
  failed: (name) => `thaw rm ${name}`,
  frozen: (name) => `thaw resume ${name}`,
};

/** Throws `conflict`, saying what the state is and what it allows. */
export function checkVerb(
  verb: Verb,
  {
    name,
    state,
    reason,
    frozen,
  }: { name: string; state: SandboxState; reason: string | null; frozen?: object | null },
): void {
  const condition = state === "stopped" && frozen ? "frozen" : state;
  if (allows(condition, verb)) return;
  const allowed = allowedVerbs(condition);
  const why = reason === null ? "" : ` (${reason})`;
  const what =
    allowed.length === 0 ? "nothing can be asked of it" : `${condition} allows: ${allowed.join(", ")}`;
  const hint = HINTS[condition] === undefined ? {} : { hint: HINTS[condition](name) };
  throw new EngineError("conflict", `can't ${verb} sandbox ${name}: it is ${state}${why}; ${what}`, hint);
}
