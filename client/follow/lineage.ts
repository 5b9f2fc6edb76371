/** Where a failure comes from and what was made of it, as a tree. */
import type { Capture, Sandbox } from "../../api/schema.ts";
import type { HostState } from "./state.ts";

/** Something that a failure descends from, or that descends from it. */
export interface Relative {
  text: string;
  note?: string;
  /** The failure that is asked about. */
  isThis?: boolean;
  /** What it is and its id, where the host still has it. */
  kind?: "template" | "snapshot" | "failure" | "sandbox";
  id?: string;
  children: readonly Relative[];
}

const MAX_ALIKE = 20;
/** A name may be used again: what looks like a circle ends somewhere. */
const MAX_DEPTH = 8;

/** Forks of a sandbox, and theirs. */
function forksOf(name: string, sandboxes: readonly Sandbox[], depth = 0): Relative[] {
  if (depth > MAX_DEPTH) return [];
  return sandboxes
    .filter(({ from }) => from === `fork of ${name}`)
    .map((fork) => ({
      ...{ text: fork.name, note: `${fork.state}, a fork`, kind: "sandbox" as const, id: fork.id },
      children: forksOf(fork.name, sandboxes, depth + 1),
    }));
}

/** The template or snapshot that a failure began with, its run, its replays and their forks, and failures with the same fingerprint. */
export function lineageOf(
  capture: Capture,
  host: Pick<HostState, "sandboxes" | "captures" | "snapshots"> | undefined,
): Relative {
  const sandboxes = [...(host?.sandboxes.values() ?? [])];
  const replays = sandboxes
    .filter(({ replay }) => replay?.capture === capture.id)
    .map(
      ({ name, id, state, replay }): Relative => ({
        ...{ text: name, note: `${state}, replayed from its ${replay?.level}`, kind: "sandbox", id },
        children: forksOf(name, sandboxes),
      }),
    );
  const alike = [...(host?.captures.values() ?? [])]
    .filter(({ id, fingerprint }) => fingerprint === capture.fingerprint && id !== capture.id)
    .slice(0, MAX_ALIKE)
    .map(({ id }): Relative => ({ text: id, note: "same fingerprint", kind: "failure", id, children: [] }));
  const snapshot = host?.snapshots.get(capture.base.snapshot);
  const { id } = capture;
  const kept: Relative = {
    ...{ text: id, note: "this failure", isThis: true, kind: "failure", id },
    children: replays,
  };
  const run: Relative = {
    text: capture.ci?.runId === undefined ? `sandbox ${capture.sandbox.name}` : `run ${capture.ci.runId}`,
    ...(capture.ci?.job === undefined ? {} : { note: `job ${capture.ci.job}` }),
    children: [kept, ...alike],
  };
  const from: Relative = {
    text: `snapshot ${snapshot?.tags[0] ?? capture.base.snapshot}`,
    note: snapshot === undefined ? "not on this host any more" : snapshot.id,
    ...(snapshot === undefined ? {} : { kind: "snapshot" as const, id: snapshot.id }),
    children: [run],
  };
  const template = snapshot?.template;
  return template === null || template === undefined
    ? from
    : { text: `template ${template}`, kind: "template", id: template, children: [from] };
}
