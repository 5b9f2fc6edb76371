/** Where a failure comes from and what was made of it, as a tree. */
import type { Capture, HostState, SandboxInfo } from "../../../../client/index.ts";
import type { Line } from "../../draw/text.ts";

interface Node {
  text: string;
  note?: string;
  isThis?: boolean;
  children: Node[];
}

/** A tree as lines, with the branches drawn. */
export function drawTree(node: Node, before = "", branch = ""): Line[] {
  const own: Line = [
    { text: before + branch, tone: "dim" },
    { text: node.text, tone: node.isThis === true ? "accent" : undefined },
    { text: node.note === undefined ? "" : `  ${node.note}`, tone: "dim" },
  ];
  const inner = branch === "" ? before : before + (branch.startsWith("└") ? "   " : "│  ");
  return [
    own,
    ...node.children.flatMap((child, index) =>
      drawTree(child, inner, index === node.children.length - 1 ? "└─ " : "├─ "),
    ),
  ];
}

/** Forks of a sandbox, and theirs. */
function forksOf(name: string, sandboxes: readonly SandboxInfo[], depth = 0): Node[] {
  // a name may be used again: what looks like a circle ends somewhere
  if (depth > 8) return [];
  return sandboxes
    .filter(({ from }) => from === `fork of ${name}`)
    .map((fork) => ({
      text: fork.name,
      note: `${fork.state}, a fork`,
      children: forksOf(fork.name, sandboxes, depth + 1),
    }));
}

export function lineageOf(capture: Capture, host: HostState | undefined): Line[] {
  const sandboxes = [...(host?.sandboxes.values() ?? [])];
  const replays = sandboxes
    .filter(({ replay }) => replay?.capture === capture.id)
    .map(
      (sandbox): Node => ({
        text: sandbox.name,
        note: `${sandbox.state}, replayed from its ${sandbox.replay?.level}`,
        children: forksOf(sandbox.name, sandboxes),
      }),
    );
  const alike = [...(host?.captures.values() ?? [])]
    .filter(({ id, fingerprint }) => fingerprint === capture.fingerprint && id !== capture.id)
    .slice(0, 20)
    .map(({ id }): Node => ({ text: id, note: "same fingerprint", children: [] }));
  const snapshot = host?.snapshots.get(capture.base.snapshot);
  const kept: Node = { text: capture.id, note: "this failure", isThis: true, children: replays };
  const run: Node = {
    text: capture.ci?.runId === undefined ? `sandbox ${capture.sandbox.name}` : `run ${capture.ci.runId}`,
    ...(capture.ci?.job === undefined ? {} : { note: `job ${capture.ci.job}` }),
    children: [kept, ...alike],
  };
  const from: Node = {
    text: `snapshot ${snapshot?.tags[0] ?? capture.base.snapshot}`,
    note: snapshot === undefined ? "not on this host any more" : snapshot.id,
    children: [run],
  };
  const template = snapshot?.template;
  return drawTree(
    template === null || template === undefined ? from : { text: `template ${template}`, children: [from] },
  );
}
