/** Where a failure comes from and what was made of it, drawn. */
import { type Capture, type HostState, lineageOf, type Relative } from "../../../../client/index.ts";
import type { Line } from "../../draw/text.ts";

/** A tree as lines, with the branches drawn. */
export function drawTree(node: Relative, before = "", branch = ""): Line[] {
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

export function lineageLines(capture: Capture, host: HostState | undefined): Line[] {
  return drawTree(lineageOf(capture, host));
}
