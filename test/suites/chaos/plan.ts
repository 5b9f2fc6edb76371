/**
 * What a run of the chaos does, decided by its seed alone before anything is done: neither times nor answers change it. What the plan believes
 * to be there may be gone because of a fault; then the step fails, which the fault explains.
 */
import { Random } from "../../helpers/random.ts";

export type Verb =
  | "create"
  | "run"
  | "fail"
  | "exec"
  | "follow"
  | "fork"
  | "pause"
  | "resume"
  | "stop"
  | "freeze"
  | "thaw"
  | "tag"
  | "untag"
  | "replay"
  | "rerun"
  | "capture"
  | "uncapture"
  | "cp"
  | "rename"
  | "extend"
  | "label"
  | "rm"
  | "prune"
  | "pool"
  | "ls";

export interface Step {
  verb: Verb;
  /** Names this step and what it makes. */
  key: string;
  by: "sdk" | "cli";
  /** The sandbox, snapshot or capture that it works on, by the key of the step that made it. */
  on?: string;
  /** How many: spares of a pool. */
  count?: number;
}

export type Fault =
  | { kind: "kill-daemon" | "race"; afterMs: number; times: number }
  | { kind: "kill-machine" | "kill-keeper" | "stall-machine" | "guest-clock"; afterMs: number; on: string }
  | { kind: "clock-jump"; afterMs: number; byMs: number }
  | { kind: "full-disk"; afterMs: number; leaveMib: number };

export interface Round {
  number: number;
  /** One list for each client; the clients work at the same time. */
  clients: Step[][];
  faults: Fault[];
}

const CLIENTS = 3;
const MOST_SANDBOXES = 7;
const MOST_SNAPSHOTS = 3;
const MOST_CAPTURES = 6;
const LATEST_FAULT_MS = 1500;
const HOUR_MS = 3_600_000;

/** How often. Those that make machines of their own are the dear ones. */
const ANY: Partial<Record<Verb, number>> = { create: 8, run: 8, fail: 4, prune: 1, pool: 2, ls: 2 };
const ON_SANDBOX: Partial<Record<Verb, number>> = {
  ...{ exec: 12, follow: 5, fork: 5, pause: 4, resume: 3, stop: 3, cp: 5, capture: 2 },
  ...{ freeze: 2, rename: 3, extend: 2, label: 1, rm: 6 },
};
const ON_SNAPSHOT: Partial<Record<Verb, number>> = { thaw: 3, tag: 1, untag: 1 };
const ON_CAPTURE: Partial<Record<Verb, number>> = { replay: 3, rerun: 1, uncapture: 1 };
const BY_CLI: readonly Verb[] = ["create", "run", "exec", "fork", "cp", "rm", "ls"];

/** What the plan believes to be there. */
interface There {
  sandboxes: Set<string>;
  snapshots: Set<string>;
  captures: Set<string>;
}

export function makePlan(seed: number, rounds: number, options: { fullDisk: boolean }): Round[] {
  const random = new Random(seed);
  const there: There = { sandboxes: new Set(), snapshots: new Set(), captures: new Set() };
  return Array.from({ length: rounds }, (_, index) => planRound(index + 1, random, there, options));
}

function planRound(number: number, random: Random, there: There, options: { fullDisk: boolean }): Round {
  // What the others make in this round may not be there yet.
  const before = copyOf(there);
  const clients: Step[][] = [];
  for (let client = 0; client < CLIENTS; client += 1) {
    const own = copyOf(before);
    const steps = Array.from({ length: 1 + random.below(2) }, (_, index) =>
      planStep(`r${number}-${client}${"ab"[index]}`, random, there, own),
    );
    clients.push(steps);
  }
  const faults: Fault[] = [];
  for (let count = random.below(3); count > 0; count -= 1) {
    const fault = planFault(random, before.sandboxes, options);
    faults.push(fault);
    // The machine is gone: so is what was in it.
    if (fault.kind === "kill-machine" || fault.kind === "kill-keeper") {
      there.sandboxes.delete(fault.on);
      before.sandboxes.delete(fault.on);
    }
  }
  return { number, clients, faults };
}

const copyOf = ({ sandboxes, snapshots, captures }: There): There => ({
  sandboxes: new Set(sandboxes),
  snapshots: new Set(snapshots),
  captures: new Set(captures),
});

function planStep(key: string, random: Random, there: There, own: There): Step {
  const choices: Partial<Record<Verb, number>> = { ...ANY };
  if (own.sandboxes.size > 0) Object.assign(choices, ON_SANDBOX);
  if (own.snapshots.size > 0) Object.assign(choices, ON_SNAPSHOT);
  if (own.captures.size > 0) Object.assign(choices, ON_CAPTURE);
  if (there.sandboxes.size >= MOST_SANDBOXES) {
    for (const verb of ["create", "fork", "thaw", "replay"] as const) delete choices[verb];
    if (own.sandboxes.size > 0) choices.rm = 20;
  }
  if (there.snapshots.size >= MOST_SNAPSHOTS)
    Object.assign(choices, { freeze: 0, tag: 0 }, own.snapshots.size > 0 ? { untag: 6 } : {});
  if (there.captures.size >= MOST_CAPTURES)
    Object.assign(choices, { fail: 0, capture: 0 }, own.captures.size > 0 ? { uncapture: 6 } : {});
  const verb = random.pickBy(choices as Record<Verb, number>);
  const step: Step = { verb, key, by: BY_CLI.includes(verb) && random.chance(0.3) ? "cli" : "sdk" };
  if (verb in ON_SANDBOX) step.on = random.pick([...own.sandboxes]);
  if (verb in ON_SNAPSHOT) step.on = random.pick([...own.snapshots]);
  if (verb in ON_CAPTURE) step.on = random.pick([...own.captures]);
  if (verb === "pool") step.count = random.below(3);
  for (const set of [there, own]) {
    if (["create", "fork", "thaw", "replay"].includes(verb)) set.sandboxes.add(key);
    if (verb === "rm") set.sandboxes.delete(step.on ?? "");
    if (verb === "freeze" || verb === "tag") set.snapshots.add(key);
    if (verb === "untag") set.snapshots.delete(step.on ?? "");
    if (verb === "fail" || verb === "capture") set.captures.add(key);
    if (verb === "uncapture") set.captures.delete(step.on ?? "");
  }
  return step;
}

function planFault(random: Random, sandboxes: Set<string>, { fullDisk }: { fullDisk: boolean }): Fault {
  const kind = random.pickBy<Fault["kind"]>({
    ...{ "kill-daemon": 7, race: 2, "clock-jump": 2, "full-disk": fullDisk ? 2 : 0 },
    ...(sandboxes.size > 0
      ? { "kill-machine": 2, "kill-keeper": 2, "stall-machine": 1, "guest-clock": 1 }
      : { "kill-machine": 0, "kill-keeper": 0, "stall-machine": 0, "guest-clock": 0 }),
  });
  const afterMs = random.below(LATEST_FAULT_MS);
  switch (kind) {
    case "kill-daemon":
      return { kind, afterMs, times: 1 + random.below(2) };
    case "race":
      return { kind, afterMs, times: 1 };
    case "clock-jump":
      return { kind, afterMs, byMs: (1 + random.below(5)) * HOUR_MS * random.pick([1, -1]) };
    case "full-disk":
      return { kind, afterMs, leaveMib: random.pick([0, 100]) };
    default:
      return { kind, afterMs, on: random.pick([...sandboxes]) };
  }
}
