/** The states of a sandbox, how one follows another, and which verbs each allows. Pure; every transition goes through here. */
import { EngineError } from "../errors.ts";

export const sandboxStates = ["creating", "running", "paused", "stopped", "failed", "removed"] as const;
export type SandboxState = (typeof sandboxStates)[number];

/** creating → running ⇄ paused → (stopped | failed) → removed; anything may be removed, nothing comes back from that. */
const FOLLOWS: Readonly<Record<SandboxState, readonly SandboxState[]>> = {
  creating: ["running", "failed", "removed"],
  running: ["paused", "stopped", "failed", "removed"],
  paused: ["running", "stopped", "failed", "removed"],
  stopped: ["removed"],
  failed: ["removed"],
  removed: [],
};

/** What may be asked of a sandbox, by state. A paused one is woken by `exec` and `files`. */
const VERBS = {
  exec: ["running", "paused"],
  files: ["running", "paused"],
  pause: ["running"],
  resume: ["paused"],
  freeze: ["running", "paused"],
  fork: ["running", "paused"],
  stats: ["running", "paused"],
  extend: ["running", "paused", "stopped", "failed"],
  rm: ["creating", "running", "paused", "stopped", "failed"],
} as const satisfies Record<string, readonly SandboxState[]>;
export type Verb = keyof typeof VERBS;
export const verbs = Object.keys(VERBS) as Verb[];

export function mayFollow(from: SandboxState, to: SandboxState): boolean {
  return FOLLOWS[from].includes(to);
}

/** Whether it has a machine, or is getting one. */
export function isLive(state: SandboxState): boolean {
  return state === "creating" || state === "running" || state === "paused";
}

/** Whether it is over for good: only its folder is left, or not even that. */
export function isOver(state: SandboxState): boolean {
  return !isLive(state);
}

export function allows(state: SandboxState, verb: Verb): boolean {
  return (VERBS[verb] as readonly SandboxState[]).includes(state);
}

export function allowedVerbs(state: SandboxState): Verb[] {
  return verbs.filter((verb) => allows(state, verb));
}

/** Throws `internal`: a transition that is not in the table is a mistake of ours. */
export function checkTransition(name: string, from: SandboxState, to: SandboxState): void {
  if (!mayFollow(from, to))
    throw new EngineError("internal", `sandbox ${name} can't become ${to}: it is ${from}`);
}

/** Throws `conflict`, saying what the state is and what it allows. */
export function checkVerb(
  verb: Verb,
  { name, state, reason }: { name: string; state: SandboxState; reason: string | null },
): void {
  if (allows(state, verb)) return;
  const allowed = allowedVerbs(state);
  const why = reason === null ? "" : ` (${reason})`;
  const what = allowed.length === 0 ? "nothing can be asked of it" : `${state} allows: ${allowed.join(", ")}`;
  const hint = state === "stopped" || state === "failed" ? { hint: `thaw rm ${name}` } : {};
  throw new EngineError("conflict", `can't ${verb} sandbox ${name}: it is ${state}${why}; ${what}`, hint);
}
