/** What is shown in place of the list: the help, or what was done. */

import { helpOf } from "../keymap.ts";
import type { Job, State } from "../state/state.ts";
import { viewOf } from "../views/index.ts";
import { type Line, paint, wrap } from "./text.ts";
import { widthOf } from "./width.ts";

function helpLines({ view, size }: State): Line[] {
  const help = helpOf(viewOf(view));
  const width = Math.max(...help.map(([keys]) => widthOf(keys))) + 3;
  return [
    [{ text: `Keys in ${viewOf(view).title}`, tone: "strong" }],
    [],
    ...help.flatMap(([keys, what]) =>
      wrap(what, size.cols - width - 2).map(
        (text, index): Line => [
          {
            text: (index === 0 ? keys : "") + " ".repeat(width - (index === 0 ? widthOf(keys) : 0)),
            tone: "accent",
          },
          { text },
        ],
      ),
    ),
  ];
}

const marks = {
  running: { text: "… ", tone: "accent" },
  done: { text: "✓ ", tone: "good" },
  failed: { text: "✗ ", tone: "bad" },
} as const satisfies Record<Job["state"], unknown>;

function jobLines({ jobs }: State): Line[] {
  if (jobs.length === 0) return [[{ text: "no actions yet", tone: "dim" }]];
  return [
    [{ text: "Actions so far, newest first; each line works as a command in a shell", tone: "strong" }],
    [],
    ...jobs
      .toReversed()
      .flatMap(({ command, state, output }): Line[] => [
        [marks[state], { text: command }],
        ...output.map((text): Line => [{ text: `    ${text}`, tone: "dim" }]),
      ]),
  ];
}

export function overlayLines(state: State): Line[] {
  return state.overlay === "help" ? helpLines(state) : jobLines(state);
}

export function formatOverlay(state: State, height: number): string[] {
  const lines = overlayLines(state);
  const top = Math.max(0, Math.min(state.overlayTop, lines.length - height));
  return lines.slice(top, top + height).map((line) => paint([{ text: " " }, ...line], state.size.cols));
}
